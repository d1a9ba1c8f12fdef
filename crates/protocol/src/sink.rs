//! What a frame is written into: one definition of each frame, in `frames`, serves every encoding through this.
use base64::{Engine, encoded_len, engine::general_purpose::STANDARD};

use crate::{Data, json_text, pack_write};

/// A field's name, of characters that need no escape, with what JSON puts around it, so that it is copied as one piece. Made by [`label!`].
#[derive(Clone, Copy)]
pub(crate) struct Label(pub &'static str);

/// The label of a name.
macro_rules! label {
    ($name:literal) => {
        $crate::sink::Label(concat!(",\"", $name, "\":"))
    };
}
pub(crate) use label;

impl Label {
    /// `,"name":`, of a first field `"name":`.
    #[inline(always)]
    fn json(self, at: usize) -> &'static str {
        if at > 0 { self.0 } else { self.0.get(1..).unwrap_or_default() }
    }

    /// The name alone.
    #[inline(always)]
    fn name(self) -> &'static str {
        self.0.get(2..self.0.len() - 2).unwrap_or_default()
    }
}

/// An encoding's way of writing. Infallible: it appends to memory.
pub(crate) trait Sink {
    /// Whether bytes have no form of their own, so that a message says `"encoding":"base64"` beside them.
    const TEXTUAL: bool;
    /// Begins an object or array; gives the place to hand to its end.
    fn open(&mut self, is_map: bool) -> usize;
    /// Ends what began at `start` and has so many entries.
    fn close(&mut self, start: usize, entries: usize, is_map: bool);
    /// Before every element of an array.
    fn element(&mut self, at: usize);
    /// The name of a field.
    fn field(&mut self, at: usize, label: Label);
    /// A name that a stranger chose.
    fn entry(&mut self, at: usize, name: &str);
    fn text(&mut self, text: &str);
    fn uint(&mut self, number: u64);
    fn int(&mut self, number: i64);
    fn flag(&mut self, value: bool);
    fn data(&mut self, data: &Data);
}

/// Compact JSON.
pub(crate) struct JsonSink<'o>(pub &'o mut Vec<u8>);

impl Sink for JsonSink<'_> {
    const TEXTUAL: bool = true;
    fn open(&mut self, is_map: bool) -> usize {
        self.0.push(if is_map { b'{' } else { b'[' });
        0
    }
    fn close(&mut self, _: usize, _: usize, is_map: bool) {
        self.0.push(if is_map { b'}' } else { b']' });
    }
    fn element(&mut self, at: usize) {
        if at > 0 {
            self.0.push(b',');
        }
    }
    #[inline(always)]
    fn field(&mut self, at: usize, label: Label) {
        self.0.extend_from_slice(label.json(at).as_bytes());
    }
    fn entry(&mut self, at: usize, name: &str) {
        self.element(at);
        json_text::push_string(self.0, name);
        self.0.push(b':');
    }
    fn text(&mut self, text: &str) {
        json_text::push_string(self.0, text);
    }
    fn uint(&mut self, number: u64) {
        self.0.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
    fn int(&mut self, number: i64) {
        self.0.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
    fn flag(&mut self, value: bool) {
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
    }
    fn data(&mut self, data: &Data) {
        match data {
            Data::Json(json) => self.0.extend_from_slice(json),
            Data::Binary(bytes) => {
                self.0.push(b'"');
                let start = self.0.len();
                self.0.resize(start + encoded_len(bytes.len(), true).unwrap_or(0), b'=');
                let place = self.0.get_mut(start..).unwrap_or_default();
                let written = STANDARD.encode_slice(bytes, place);
                debug_assert!(written.is_ok());
                self.0.push(b'"');
            }
        }
    }
}

/// MessagePack.
pub(crate) struct PackSink<'o>(pub &'o mut Vec<u8>);

impl Sink for PackSink<'_> {
    const TEXTUAL: bool = false;
    fn open(&mut self, _: bool) -> usize {
        pack_write::open(self.0)
    }
    fn close(&mut self, start: usize, entries: usize, is_map: bool) {
        pack_write::close(self.0, start, entries, is_map);
    }
    fn element(&mut self, _: usize) {}
    #[inline(always)]
    fn field(&mut self, _: usize, label: Label) {
        pack_write::text(self.0, label.name());
    }
    fn entry(&mut self, _: usize, name: &str) {
        pack_write::text(self.0, name);
    }
    fn text(&mut self, text: &str) {
        pack_write::text(self.0, text);
    }
    fn uint(&mut self, number: u64) {
        pack_write::uint(self.0, number);
    }
    fn int(&mut self, number: i64) {
        pack_write::int(self.0, number);
    }
    fn flag(&mut self, value: bool) {
        pack_write::bool(self.0, value);
    }
    fn data(&mut self, data: &Data) {
        match data {
            Data::Json(json) => pack_write::json(self.0, json),
            Data::Binary(bytes) => pack_write::bin(self.0, bytes),
        }
    }
}

/// An object being written.
pub(crate) struct Object<'s, S: Sink> {
    sink: &'s mut S,
    start: usize,
    entries: usize,
}

impl<'s, S: Sink> Object<'s, S> {
    pub fn open(sink: &'s mut S) -> Self {
        let start = sink.open(true);
        Self { sink, start, entries: 0 }
    }

    pub fn close(self) {
        self.sink.close(self.start, self.entries, true);
    }

    /// The sink, standing where the value of this field belongs.
    // With the label known where it is inlined, it is copied without a call.
    #[inline(always)]
    pub fn value(&mut self, label: Label) -> &mut S {
        self.sink.field(self.entries, label);
        self.entries += 1;
        self.sink
    }

    #[inline(always)]
    pub fn text(&mut self, label: Label, text: &str) -> &mut Self {
        self.value(label).text(text);
        self
    }

    #[inline(always)]
    pub fn text_if(&mut self, label: Label, text: Option<&str>) -> &mut Self {
        if let Some(text) = text {
            self.text(label, text);
        }
        self
    }

    #[inline(always)]
    pub fn uint(&mut self, label: Label, number: u64) -> &mut Self {
        self.value(label).uint(number);
        self
    }

    #[inline(always)]
    pub fn uint_if(&mut self, label: Label, number: Option<u64>) -> &mut Self {
        if let Some(number) = number {
            self.uint(label, number);
        }
        self
    }

    #[inline(always)]
    pub fn flag(&mut self, label: Label, value: bool) -> &mut Self {
        self.value(label).flag(value);
        self
    }

    /// A name that a stranger chose, with a string.
    pub fn entry(&mut self, name: &str, text: &str) -> &mut Self {
        self.sink.entry(self.entries, name);
        self.entries += 1;
        self.sink.text(text);
        self
    }
}

/// Writes an array.
pub(crate) fn list<S: Sink, T>(sink: &mut S, items: &[T], mut write: impl FnMut(&mut S, &T)) {
    let start = sink.open(false);
    for (at, item) in items.iter().enumerate() {
        sink.element(at);
        write(sink, item);
    }
    sink.close(start, items.len(), false);
}

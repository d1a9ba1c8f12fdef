//! Arguments as types of a program's own, by serde.
//!
//! A tuple is as many arguments, `()` none, anything else one. Arguments that are missing are `null`, more than wanted are left out, as in JavaScript.
use std::cell::Cell;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, DeserializeSeed, Error as _, SeqAccess, Visitor},
    forward_to_deserialize_any,
    ser::SerializeMap,
};

use crate::{Args, Code, Data, Problem};

/// What a handler takes: any type that serde reads, or [`Args`] as they came.
pub trait FromArgs: Sized {
    /// Reads the arguments.
    ///
    /// # Errors
    /// `bad_request` naming the argument that is of another type.
    fn from_args(args: Args) -> Result<Self, Problem>;
}

impl FromArgs for Args {
    fn from_args(args: Args) -> Result<Self, Problem> {
        Ok(args)
    }
}

impl<T: DeserializeOwned> FromArgs for T {
    fn from_args(args: Args) -> Result<Self, Problem> {
        T::deserialize(Whole(&args)).map_err(|error| {
            // Where in the text of one argument is nobody's concern.
            let text = error.to_string();
            let what = text.split(" at line ").next().unwrap_or(&text).to_owned();
            Problem::new(Code::BadRequest, format!("the arguments do not fit: {what}"))
                .remedy("send the arguments that this event takes")
        })
    }
}

/// What is emitted or answered: any type that serde writes, or [`Args`].
pub trait ToArgs {
    /// Writes the arguments.
    ///
    /// # Errors
    /// `bad_request` when the value cannot be JSON.
    fn to_args(&self) -> Result<Args, Problem>;
}

impl ToArgs for Args {
    fn to_args(&self) -> Result<Args, Problem> {
        Ok(self.clone())
    }
}

impl<T: Serialize> ToArgs for T {
    fn to_args(&self) -> Result<Args, Problem> {
        let shape = Cell::new(Shape::One);
        let mut text = Vec::new();
        let mut json = serde_json::Serializer::new(&mut text);
        self.serialize(Shaped { json: &mut json, shape: &shape })
            .map_err(|error| Problem::new(Code::BadRequest, format!("this cannot be JSON: {error}")))?;
        let data = Data::from_json(&text)?;
        match (shape.get(), &data) {
            (Shape::None, _) => Ok(Args::default()),
            (Shape::Several, Data::Json(array)) => Args::from_array(array),
            _ => Ok(Args::one(crate::args::unwrapped(data))),
        }
    }
}

/// Bytes among arguments: on the wire what each client's encoding has for bytes, and `{"$bytes":"BASE64"}` in JSON.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Binary(pub Bytes);

impl Serialize for Binary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("$bytes", &STANDARD.encode(&self.0))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wrapped {
            #[serde(rename = "$bytes")]
            bytes: String,
        }
        let text = Wrapped::deserialize(deserializer)?.bytes;
        let bytes = STANDARD.decode(text).map_err(|_| D::Error::custom("$bytes is not base64"))?;
        Ok(Self(bytes.into()))
    }
}

/// One argument as JSON text.
fn text_of(data: Option<&Data>) -> Bytes {
    match data {
        None => Bytes::from_static(b"null"),
        Some(Data::Json(json)) => json.clone(),
        Some(Data::Binary(bytes)) => format!("{{\"$bytes\":\"{}\"}}", STANDARD.encode(bytes)).into(),
    }
}

/// All arguments: a sequence to those who want a tuple, else the first.
struct Whole<'a>(&'a Args);

impl<'de> Deserializer<'de> for Whole<'_> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        let text = text_of(self.0.0.first());
        serde_json::Deserializer::from_reader(&text[..]).deserialize_any(visitor)
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        let text = text_of(self.0.0.first());
        serde_json::Deserializer::from_reader(&text[..]).deserialize_option(visitor)
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let text = text_of(self.0.0.first());
        serde_json::Deserializer::from_reader(&text[..]).deserialize_enum(name, variants, visitor)
    }
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_seq(Each { args: self.0, at: 0, len })
    }
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.deserialize_tuple(len, visitor)
    }
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit_struct seq map struct
        identifier ignored_any
    }
}

/// The arguments one by one, as many as are wanted.
struct Each<'a> {
    args: &'a Args,
    at: usize,
    len: usize,
}

impl<'de> SeqAccess<'de> for Each<'_> {
    type Error = serde_json::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Self::Error> {
        if self.at >= self.len {
            return Ok(None);
        }
        let text = text_of(self.args.0.get(self.at));
        self.at += 1;
        let element = seed.deserialize(&mut serde_json::Deserializer::from_reader(&text[..]));
        element.map(Some).map_err(|error| Self::Error::custom(format!("argument {}: {error}", self.at)))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    None,
    One,
    Several,
}

/// Writes JSON and notes whether the value is a tuple or `()`.
struct Shaped<'a, 'w> {
    json: &'a mut serde_json::Serializer<&'w mut Vec<u8>>,
    shape: &'a Cell<Shape>,
}

type Json<'a, 'w> = &'a mut serde_json::Serializer<&'w mut Vec<u8>>;

macro_rules! plain {
    ($($name:ident: $type:ty),*) => {
        $(fn $name(self, value: $type) -> Result<(), serde_json::Error> {
            self.json.$name(value)
        })*
    };
}

impl<'a, 'w> Serializer for Shaped<'a, 'w> {
    type Ok = ();
    type Error = serde_json::Error;
    type SerializeSeq = <Json<'a, 'w> as Serializer>::SerializeSeq;
    type SerializeTuple = <Json<'a, 'w> as Serializer>::SerializeTuple;
    type SerializeTupleStruct = <Json<'a, 'w> as Serializer>::SerializeTupleStruct;
    type SerializeTupleVariant = <Json<'a, 'w> as Serializer>::SerializeTupleVariant;
    type SerializeMap = <Json<'a, 'w> as Serializer>::SerializeMap;
    type SerializeStruct = <Json<'a, 'w> as Serializer>::SerializeStruct;
    type SerializeStructVariant = <Json<'a, 'w> as Serializer>::SerializeStructVariant;

    plain! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128, serialize_f32: f32, serialize_f64: f64, serialize_char: char, serialize_str: &str,
        serialize_bytes: &[u8], serialize_unit_struct: &'static str
    }
    fn serialize_none(self) -> Result<(), Self::Error> {
        self.json.serialize_none()
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Self::Error> {
        self.json.serialize_some(value)
    }
    fn serialize_unit(self) -> Result<(), Self::Error> {
        self.shape.set(Shape::None);
        self.json.serialize_unit()
    }
    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<(), Self::Error> {
        self.json.serialize_unit_variant(name, index, variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Self::Error> {
        self.json.serialize_newtype_struct(name, value)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Self::Error> {
        self.json.serialize_newtype_variant(name, index, variant, value)
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, Self::Error> {
        self.json.serialize_seq(len)
    }
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, Self::Error> {
        self.shape.set(Shape::Several);
        self.json.serialize_tuple(len)
    }
    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, Self::Error> {
        self.shape.set(Shape::Several);
        self.json.serialize_tuple_struct(name, len)
    }
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, Self::Error> {
        self.json.serialize_tuple_variant(name, index, variant, len)
    }
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, Self::Error> {
        self.json.serialize_map(len)
    }
    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, Self::Error> {
        self.json.serialize_struct(name, len)
    }
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, Self::Error> {
        self.json.serialize_struct_variant(name, index, variant, len)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn args(json: &str) -> Args {
        Args::from_array(&Bytes::copy_from_slice(json.as_bytes())).unwrap()
    }

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Said {
        text: String,
        at: Option<u64>,
    }

    #[test]
    fn tuples_are_as_many_arguments_and_all_else_is_one() {
        let said = || Said { text: "hi".into(), at: None };
        assert_eq!(("a", 1).to_args(), Ok(args(r#"["a",1]"#)));
        assert_eq!(said().to_args(), Ok(args(r#"[{"text":"hi","at":null}]"#)));
        assert_eq!(vec![1, 2].to_args(), Ok(args("[[1,2]]")));
        assert_eq!("a".to_args(), Ok(args(r#"["a"]"#)));
        assert_eq!(().to_args(), Ok(Args::default()));
        assert_eq!(None::<u8>.to_args(), Ok(args("[null]")));
        assert_eq!(((1, 2), said()).to_args(), Ok(args(r#"[[1,2],{"text":"hi","at":null}]"#)));
        assert_eq!(Binary(Bytes::from_static(b"\x01\x02\x03")).to_args(), Ok(args(r#"[{"$bytes":"AQID"}]"#)));

        assert_eq!(<(String, u8)>::from_args(args(r#"["a",1]"#)), Ok(("a".into(), 1)));
        assert_eq!(Said::from_args(args(r#"[{"text":"hi"}]"#)), Ok(said()));
        assert_eq!(Vec::<u8>::from_args(args("[[1,2]]")), Ok(vec![1, 2]));
        assert_eq!(<()>::from_args(args("[1]")), Ok(()));
        assert_eq!(Value::from_args(args(r#"[{"$bytes":"AQID"}]"#)), Ok(json!({"$bytes": "AQID"})));
        let with_bytes = <(Binary, String)>::from_args(args(r#"[{"$bytes":"AQID"},"x"]"#)).unwrap();
        assert_eq!(with_bytes.0.0, Bytes::from_static(b"\x01\x02\x03"));
    }

    #[test]
    fn missing_arguments_are_null_and_more_are_left_out() {
        assert_eq!(<(String, Option<u8>)>::from_args(args(r#"["a"]"#)), Ok(("a".into(), None)));
        assert_eq!(<(String,)>::from_args(args(r#"["a",1,2]"#)), Ok(("a".into(),)));
        assert_eq!(Option::<u8>::from_args(args("[]")), Ok(None));
    }

    #[test]
    fn an_argument_of_another_type_is_named() {
        let refused = <(String, u8)>::from_args(args(r#"["a","b"]"#)).unwrap_err();
        assert_eq!(refused.code, Code::BadRequest);
        assert!(refused.detail.contains("argument 2") && refused.detail.contains("expected u8"), "{refused}");
        assert!(!refused.detail.contains("line"), "{refused}");
    }
}

//! Arguments of an event: what a call carries, what its answer carries, and how both stand in a message.
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::value::RawValue;

pub use crate::message::Tag;
use crate::{Code, Data, Message, Problem};

/// The tag of a message whose `data` is an array of arguments: their number. Without it `data` is the one argument.
pub const ARGS_TAG: &str = "args";
/// Arguments of one event, at most.
pub const ARGS: usize = 32;

/// The arguments of an event, in order: each JSON, or bytes as a whole.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Args(pub Vec<Data>);

impl Args {
    /// One argument.
    pub fn one(data: Data) -> Self {
        Self(vec![data])
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all of them, for limits.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(Data::len).sum()
    }

    /// The elements of a compact JSON array. An element that is `{"$bytes":"BASE64"}` and nothing else is bytes.
    ///
    /// # Errors
    /// `bad_request` when it is no array, `limit_exceeded` beyond [`ARGS`] elements.
    pub fn from_array(json: &Bytes) -> Result<Self, Problem> {
        let wrong = || {
            Problem::new(Code::BadRequest, "data is not an array of arguments")
                .remedy("send data as an array, such as [\"text\", 1]")
        };
        let elements: Vec<&RawValue> = serde_json::from_slice(json).map_err(|_| wrong())?;
        if elements.len() > ARGS {
            return Err(Problem::new(Code::LimitExceeded, format!("more than {ARGS} arguments"))
                .remedy("send one object that holds them"));
        }
        let one = |element: &RawValue| {
            let text = element.get();
            match bytes_of(text) {
                Some(bytes) => Data::Binary(bytes),
                None => Data::Json(json.slice_ref(text.as_bytes())),
            }
        };
        Ok(Self(elements.into_iter().map(one).collect()))
    }

    /// A JSON array of them; bytes stand as `{"$bytes":"BASE64"}`.
    pub fn to_array(&self) -> Data {
        let mut out = vec![b'['];
        for (at, data) in self.0.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            match data {
                Data::Json(json) => out.extend_from_slice(json),
                Data::Binary(bytes) => {
                    out.extend_from_slice(b"{\"$bytes\":\"");
                    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
                    out.extend_from_slice(b"\"}");
                }
            }
        }
        out.push(b']');
        Data::Json(out.into())
    }

    /// How they stand in a message: one argument is its `data`; none or several are an array, told by the tag [`ARGS_TAG`].
    pub fn into_data(mut self) -> (Data, Option<Tag>) {
        match (self.0.len(), self.0.pop()) {
            (1, Some(data)) => (data, None),
            (count, last) => {
                self.0.extend(last);
                (self.to_array(), Some((ARGS_TAG.into(), count.to_string().into())))
            }
        }
    }

    /// The arguments that a message stands for.
    pub fn of_message(message: &Message) -> Self {
        let count = message.tags.iter().find(|(name, _)| &**name == ARGS_TAG).map(|(_, count)| count);
        if let (Some(count), Data::Json(json)) = (count, &message.data)
            && let Ok(args) = Self::from_array(json)
            && count.parse() == Ok(args.len())
        {
            return args;
        }
        Self::one(message.data.clone())
    }
}

/// Data that is `{"$bytes":"BASE64"}` as the bytes that it says; all other as it is.
pub(crate) fn unwrapped(data: Data) -> Data {
    match &data {
        Data::Json(json) => {
            let bytes = std::str::from_utf8(json).ok().and_then(bytes_of);
            bytes.map_or(data, Data::Binary)
        }
        Data::Binary(_) => data,
    }
}

/// The bytes of an element that is `{"$bytes":"BASE64"}`.
fn bytes_of(compact: &str) -> Option<Bytes> {
    let inner = compact.strip_prefix("{\"$bytes\":\"")?.strip_suffix("\"}")?;
    STANDARD.decode(inner).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Data {
        Data::from_json(text.as_bytes()).unwrap()
    }

    fn array(text: &'static str) -> Result<Args, Problem> {
        Args::from_array(&Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn an_array_is_taken_apart_and_put_together() {
        let args = array(r#"["a",{"b":[1,2]},{"$bytes":"AAH/"},null]"#).unwrap();
        let bytes = Data::Binary(Bytes::from_static(&[0, 1, 255]));
        assert_eq!(args.0, [json("\"a\""), json("{\"b\":[1,2]}"), bytes, Data::NULL]);
        assert_eq!(args.to_array(), json(r#"["a",{"b":[1,2]},{"$bytes":"AAH/"},null]"#));
        assert!(array("[]").unwrap().is_empty());
        assert_eq!(array("{}").unwrap_err().code, Code::BadRequest);
        let many = format!("[{}0]", "0,".repeat(ARGS));
        assert_eq!(Args::from_array(&many.into()).unwrap_err().code, Code::LimitExceeded);
    }

    #[test]
    fn one_argument_is_the_data_and_others_are_an_array_with_a_tag() {
        assert_eq!(Args::one(json("[1,2]")).into_data(), (json("[1,2]"), None));
        let (data, tag) = array("[[1,2],3]").unwrap().into_data();
        assert_eq!((data, tag), (json("[[1,2],3]"), Some(("args".into(), "2".into()))));
        let (data, tag) = Args::default().into_data();
        assert_eq!((data, tag), (json("[]"), Some(("args".into(), "0".into()))));
    }
}

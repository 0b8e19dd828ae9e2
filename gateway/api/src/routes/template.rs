//! Path templates: literal segments, `{field}` variables that match one segment each, and a last `{field=**}` that
//! matches all that is left.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use std::fmt;

/// A field of the request message that stands in the path.
#[derive(Debug, Clone)]
pub struct Variable {
    /// From the request message inwards; never empty.
    pub fields: Vec<FieldDescriptor>,
}

impl Variable {
    /// The dotted path in JSON names.
    pub fn json_path(&self) -> String {
        self.fields.iter().map(FieldDescriptor::json_name).collect::<Vec<_>>().join(".")
    }
}

#[derive(Debug, Clone)]
enum Segment {
    Literal(String),
    Variable(Variable),
    /// One segment or more, to the end of the path.
    Rest(Variable),
}

/// A parsed path.
#[derive(Debug, Clone)]
pub struct Template {
    segments: Vec<Segment>,
}

impl Template {
    pub fn parse(path: &str, message: &MessageDescriptor) -> Result<Self, String> {
        let rest = path.strip_prefix('/').ok_or_else(|| format!("{path} does not begin with /"))?;
        let segments: Vec<Segment> =
            rest.split('/').map(|text| segment(text, message)).collect::<Result<_, _>>()?;
        match segments.iter().rev().skip(1).any(|segment| matches!(segment, Segment::Rest(_))) {
            true => Err(format!("{path} goes on after what takes the rest of it")),
            false => Ok(Self { segments }),
        }
    }

    /// The value of each variable, in order, if the raw path matches.
    pub fn matches(&self, path: &str) -> Option<Vec<String>> {
        let mut values = Vec::new();
        let mut parts = path.strip_prefix('/')?.split('/');
        for segment in &self.segments {
            if let Segment::Rest(_) = segment {
                let rest: Vec<&str> = parts.by_ref().collect();
                let empty = rest.is_empty() || rest.iter().any(|part| part.is_empty());
                return if empty {
                    None
                } else {
                    values.push(percent_decode(&rest.join("/"), false)?);
                    Some(values)
                };
            }
            let part = parts.next()?;
            match segment {
                Segment::Literal(text) if text == part => {}
                Segment::Variable(_) if !part.is_empty() => values.push(percent_decode(part, false)?),
                _ => return None,
            }
        }
        if parts.next().is_some() { None } else { Some(values) }
    }

    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Variable(variable) | Segment::Rest(variable) => Some(variable),
            Segment::Literal(_) => None,
        })
    }

    /// Orders templates: where two match one path, the one with the earlier literal comes first.
    pub fn openness(&self) -> Vec<bool> {
        self.segments.iter().map(|segment| !matches!(segment, Segment::Literal(_))).collect()
    }

    /// Whether the two match exactly the same paths.
    pub fn same_paths(&self, other: &Self) -> bool {
        self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(|pair| match pair {
                (Segment::Literal(a), Segment::Literal(b)) => a == b,
                (Segment::Variable(_), Segment::Variable(_)) | (Segment::Rest(_), Segment::Rest(_)) => true,
                _ => false,
            })
    }
}

/// As OpenAPI writes it: variables in JSON names.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Variable(variable) | Segment::Rest(variable) => {
                    write!(f, "/{{{}}}", variable.json_path())?;
                }
            }
        }
        Ok(())
    }
}

fn segment(text: &str, message: &MessageDescriptor) -> Result<Segment, String> {
    let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        let plain =
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        return if plain {
            Ok(Segment::Literal(text.to_owned()))
        } else {
            Err(format!("cannot read {text:?}"))
        };
    };
    let (name, takes_rest) = match name.strip_suffix("=**") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let mut fields: Vec<FieldDescriptor> = Vec::new();
    let mut inside = Some(message.clone());
    for part in name.split('.') {
        let within = inside.take().ok_or_else(|| format!("{name} goes into a field that is no message"))?;
        let field =
            within.get_field_by_name(part).ok_or_else(|| format!("{} has no field {part}", within.name()))?;
        if let Kind::Message(next) = field.kind() {
            inside = Some(next);
        }
        fields.push(field);
    }
    let scalar =
        fields.last().is_some_and(|f| !f.is_list() && !f.is_map() && !matches!(f.kind(), Kind::Message(_)));
    let variable = Variable { fields };
    match (scalar, takes_rest) {
        (true, false) => Ok(Segment::Variable(variable)),
        (true, true) => Ok(Segment::Rest(variable)),
        (false, _) => Err(format!("{name} is not a single value")),
    }
}

/// Undoes percent encoding (and `+` for a space in a query). None if it is not UTF-8.
pub fn percent_decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? * 16 + hex(bytes.next()?)?,
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

//! Server-sent events, as far as the gateway uses them: `event`, `data`, comments. Chunks may end anywhere.

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// Empty for the default kind.
    pub kind: String,
    pub data: String,
}

/// More than any snapshot; a line without an end must not fill the memory.
const LIMIT: usize = 4 << 20;

/// An incremental parser.
#[derive(Default)]
pub struct SseParser {
    line: Vec<u8>,
    kind: String,
    data: String,
    has_data: bool,
    after_cr: bool,
}

impl SseParser {
    /// Takes a chunk and answers the events that it completes; `None` if the stream cannot be one of ours.
    pub fn push(&mut self, chunk: &[u8]) -> Option<Vec<Event>> {
        let mut events = Vec::new();
        for &byte in chunk {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.end_of_line(&String::from_utf8_lossy(&line)));
                }
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > LIMIT {
                return None;
            }
        }
        Some(events)
    }

    fn end_of_line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = true;
            }
            // Comments (an empty field name), id and retry: nothing depends on them.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        let kind = std::mem::take(&mut self.kind);
        let data = std::mem::take(&mut self.data);
        std::mem::take(&mut self.has_data).then_some(Event { kind, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": hello\r\n\r\ndata: {\"state\":\"running\"}\n\nevent: error\ndata: {\"a\":\ndata: \"ü\"}\nid: 7\n\n:keep-alive\n\ndata: last";

    fn event(kind: &str, data: &str) -> Event {
        Event { kind: kind.into(), data: data.into() }
    }

    #[test]
    fn events_come_out_however_the_chunks_are_cut() {
        for size in 1..STREAM.len() {
            let mut parser = SseParser::default();
            let events: Vec<Event> =
                STREAM.as_bytes().chunks(size).flat_map(|chunk| parser.push(chunk).unwrap()).collect();
            let expected = [event("", "{\"state\":\"running\"}"), event("error", "{\"a\":\n\"ü\"}")];
            assert_eq!(events, expected, "chunks of {size}");
        }
    }

    #[test]
    fn an_endless_line_is_given_up() {
        let mut parser = SseParser::default();
        let chunk = vec![b'x'; LIMIT];
        assert!(parser.push(&chunk).is_some());
        assert!(parser.push(&chunk).is_none());
    }
}

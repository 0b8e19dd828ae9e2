//! A gateway for one test: a closure answers each request, and every request is kept. And the program itself.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub token: Option<String>,
    pub body: Value,
}

impl Request {
    /// A parameter of the query, as it was sent.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    /// `METHOD path?query`.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// How much of the body to send before the connection is cut.
    cut_at: Option<usize>,
}

impl Reply {
    pub fn json(status: u16, body: &str) -> Self {
        Self::of(status, "application/json", body.as_bytes())
    }

    pub fn of(status: u16, kind: &str, body: &[u8]) -> Self {
        let headers =
            vec![("content-type", kind.to_owned()), ("keywright-request-id", "req_test".to_owned())];
        Self { status, headers, body: body.to_vec(), cut_at: None }
    }

    /// Server-sent events; after them the stream ends.
    pub fn events(texts: &[String]) -> Self {
        let body: String = texts.iter().map(|text| format!("event: snapshot\ndata: {text}\n\n")).collect();
        Self::of(200, "text/event-stream", body.as_bytes())
    }

    pub fn error(status: u16, code: i32, reason: &str) -> Self {
        let body = serde_json::json!({"code": code, "message": format!("{reason} happened. Do this about it."),
            "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason,
            "domain": "keywright", "metadata": {"code": reason.to_lowercase()}}]});
        Self::json(status, &body.to_string())
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn cut_at(mut self, bytes: usize) -> Self {
        self.cut_at = Some(bytes);
        self
    }
}

pub struct Gateway {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    pub home: tempfile::TempDir,
}

/// What the program did.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Gateway {
    /// Answers until the test process ends.
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (requests.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answer) = (kept.clone(), answer.clone());
                std::thread::spawn(move || {
                    if let Some(request) = read(&stream) {
                        kept.lock().unwrap().push(request.clone());
                        write(stream, &answer(&request));
                    }
                });
            }
        });
        Self { url, requests, home: tempfile::tempdir().unwrap() }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.requests().iter().map(Request::line).collect()
    }

    /// Runs the program off a terminal, as the principal of a token.
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, &[("KEYWRIGHT_URL", &self.url), ("KEYWRIGHT_TOKEN", "kwt_secret")])
    }

    pub fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
        ended(self.command(arguments).envs(environment.iter().copied()).output().unwrap())
    }

    /// Runs the program with a text at its standard input, with no gateway and no token.
    pub fn run_fed(&self, arguments: &[&str], text: &str) -> Run {
        let mut command = self.command(arguments);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        // It may stop reading at what is wrong.
        let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
        ended(child.wait_with_output().unwrap())
    }

    /// Starts the program as `run` does, with pipes at its standard output and error.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.env("KEYWRIGHT_URL", &self.url).env("KEYWRIGHT_TOKEN", "kwt_secret");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keywright"));
        command.args(arguments).env_clear().env("HOME", self.home.path());
        command.current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn ended(output: Output) -> Run {
    Run {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let (mut token, mut length) = (None, 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "authorization" => token = Some(value.to_owned()),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Some(Request { method, target, token, body })
}

fn write(mut stream: TcpStream, reply: &Reply) {
    let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", reply.status);
    if !reply.headers.iter().any(|(_, value)| value == "text/event-stream") {
        head.push_str(&format!("content-length: {}\r\n", reply.body.len()));
    }
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let body = &reply.body[..reply.cut_at.unwrap_or(reply.body.len())];
    // The program may be gone already: then the test sees it.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

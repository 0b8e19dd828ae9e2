//! Answers clients: one connection, one session, one request after the other.

use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use super::gateway::Gateway;
use super::keys::{Key, offered, place};
use super::session::{Session, login};
use super::socket::Socket;
use super::wire::{Answer, Request, Sign, receive, send};
use crate::app::Setup;
use crate::error::CliError;
use crate::output::Output;

/// Clients served at once; more wait.
const CLIENTS: usize = 64;

/// Serves until the listener fails.
pub async fn serve(socket: &Socket, setup: Arc<Setup>, out: Output) -> CliError {
    let room = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let place = room.clone().acquire_owned().await;
        let stream = match socket.accept().await {
            Ok(Some(stream)) => stream,
            Ok(None) => {
                out.note("agent: a process of another user was turned away");
                continue;
            }
            Err(source) => return CliError::File { doing: "the agent's socket failed".into(), source },
        };
        let setup = setup.clone();
        tokio::spawn(async move {
            Connection { setup, out, session: Session::default(), keys: None }.run(stream).await;
            drop(place);
        });
    }
}

struct Connection {
    setup: Arc<Setup>,
    out: Output,
    session: Session,
    /// As they were offered.
    keys: Option<(Gateway, Vec<Key>)>,
}

impl Connection {
    async fn run(mut self, mut stream: UnixStream) {
        while let Some(message) = receive(&mut stream).await {
            let answer = match Request::parse(&message) {
                Ok(request) => self.answer(request).await,
                Err(_) => Err("a message could not be read".to_owned()),
            };
            let answer = answer.unwrap_or_else(|why| {
                self.out.note(&format!("agent: refused: {why}"));
                Answer::Failure
            });
            if send(&mut stream, &answer).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&mut self, request: Request) -> Result<Answer, String> {
        match request {
            Request::Bind(bind) => self.session.bind(&bind).map(|()| Answer::Success).map_err(str::to_owned),
            Request::Identities => self.identities().await,
            Request::Sign(sign) => self.sign(&sign).await.map(Answer::Signature),
            Request::Other(kind) => {
                Err(format!("keys are kept by Keywright and cannot be changed here (request {kind})"))
            }
        }
    }

    async fn identities(&mut self) -> Result<Answer, String> {
        if let Session::Refused(_) = self.session {
            return Ok(Answer::Identities(Vec::new()));
        }
        self.keys = None;
        let (_, keys) = fetched(&mut self.keys, &self.setup).await?;
        let host = self.session.bound().ok().map(|bound| &bound.host_key);
        let keys = offered(keys, host);
        if let Some(host) = host.filter(|_| keys.is_empty()) {
            let print = host.fingerprint();
            self.out.note(&format!("agent: no key of yours is for a server with the host key {print}"));
        }
        Ok(Answer::Identities(
            keys.into_iter().map(|key| (key.public.blob().to_vec(), key.comment())).collect(),
        ))
    }

    async fn sign(&mut self, sign: &Sign) -> Result<Vec<u8>, String> {
        let (request, bound) = login(sign, &self.session)?;
        let (gateway, keys) = fetched(&mut self.keys, &self.setup).await?;
        let (key, place) = place(keys, request.public_key(), &bound.host_key, request.user())?;
        gateway.sign(key, place, &request, bound).await.map_err(|error| told(&error))
    }
}

async fn fetched<'a>(
    keys: &'a mut Option<(Gateway, Vec<Key>)>,
    setup: &Setup,
) -> Result<&'a (Gateway, Vec<Key>), String> {
    if keys.is_none() {
        let gateway = Gateway::open(setup).map_err(|error| told(&error))?;
        let listed = gateway.keys().await.map_err(|error| told(&error))?;
        *keys = Some((gateway, listed));
    }
    keys.as_ref().ok_or_else(|| "no keys were read".to_owned())
}

fn told(error: &CliError) -> String {
    match error.reason() {
        "" => error.full_message(),
        reason => format!("{} ({reason})", error.full_message()),
    }
}

//! The gateway: REST, grpc-web and gRPC on one port, all from the one descriptor set.
//!
//! Invariant: nothing about a single RPC is written here but the cookie of the console. Routes, transcoding, the reverse proxy and the OpenAPI
//! document follow from the contract; only RPCs whose rule says PUBLIC can be reached at all.
//!
//! | module | what it does |
//! |---|---|
//! | `routes` | path and method → RPC, from the `google.api.http` options |
//! | `transcode` | JSON and query ↔ protobuf messages |
//! | `rest` | one REST request: match → admit → size → well-formed → forward → answer |
//! | `cookie` | the console's session in a cookie |
//! | `proxy` | gRPC and grpc-web: match → admit → size → forward the bytes |
//! | `errors` | every refusal as `google.rpc.Status`, in JSON or as a gRPC status |
//! | `crowd` | how many connections one source holds |
//! | `openapi` | OpenAPI 3.1 of the same pool |
//! | `health` | `/healthz`, `/readyz`, `grpc.health.v1`, reflection |
//! | `front` | what a request meets first: its id, its kind, the headers of every answer |
//! | `source` | whose address a request carries behind proxies |
//! | `serve` | the listener and its drain |

mod body;
mod call;
mod chunks;
mod cookie;
mod crowd;
mod errors;
mod front;
mod health;
mod openapi;
mod ports;
mod proxy;
mod rest;
mod routes;
mod serve;
mod source;
mod sse;
mod transcode;

pub use ports::{Admit, Limits, Parts, PeerOf, Readiness, Visit};
pub use routes::RouteError;
pub use serve::{Gateway, GatewayError};
pub use source::TrustedProxies;

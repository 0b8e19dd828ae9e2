//! The cookie of a console session: over REST its secret goes to the browser's jar, never into the page.
//!
//! The one place where the gateway knows two RPCs by name: what they carry is between the browser and the gateway.

use crate::routes::Rpc;
use http::HeaderValue;
use keywright_runtime::session::COOKIE;
use prost_reflect::{DynamicMessage, Value};
use zeroize::Zeroizing;

const OPEN: &str = "/keywright.identity.v1.ConsoleService/OpenConsoleSession";
const CLOSE: &str = "/keywright.identity.v1.ConsoleService/CloseConsoleSession";
const SECRET_FIELD: &str = "session";

/// The `Set-Cookie` that goes with an answer, if any; the secret is taken out of the answer. `encrypted`: the browser
/// came by TLS, and is to send the cookie by TLS alone.
pub fn of(rpc: &Rpc, answer: &mut DynamicMessage, encrypted: bool) -> Option<HeaderValue> {
    let (value, age) = match rpc.path.as_str() {
        OPEN => (take(answer)?, ""),
        CLOSE => (Zeroizing::new(String::new()), "; Max-Age=0"),
        _ => return None,
    };
    let secure = if encrypted { "; Secure" } else { "" };
    let text = Zeroizing::new(format!(
        "{COOKIE}={}; HttpOnly; SameSite=Strict; Path=/{secure}{age}",
        value.as_str()
    ));
    let mut header = HeaderValue::from_str(&text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn take(answer: &mut DynamicMessage) -> Option<Zeroizing<String>> {
    let secret = answer.get_field_by_name(SECRET_FIELD)?.as_str().map(str::to_owned)?;
    answer.set_field_by_name(SECRET_FIELD, Value::String(String::new()));
    Some(Zeroizing::new(secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::Table;
    use keywright_proto::pool;

    fn answer(name: &str) -> DynamicMessage {
        DynamicMessage::new(pool().get_message_by_name(&format!("keywright.identity.v1.{name}")).unwrap())
    }

    #[test]
    fn the_secret_leaves_as_a_cookie_alone() {
        let table = Table::new(pool()).unwrap();
        let mut opened = answer("OpenConsoleSessionResponse");
        opened.set_field_by_name("session", Value::String("kwses-secret".into()));
        opened.set_field_by_name("csrf_token", Value::String("csrf".into()));
        let cookie = of(table.rpc(OPEN).unwrap(), &mut opened, true).unwrap();
        assert_eq!(cookie, "keywright_session=kwses-secret; HttpOnly; SameSite=Strict; Path=/; Secure");
        assert!(cookie.is_sensitive());
        assert_eq!(opened.get_field_by_name("session").unwrap().as_str(), Some(""));
        assert_eq!(opened.get_field_by_name("csrf_token").unwrap().as_str(), Some("csrf"));
        let closed =
            of(table.rpc(CLOSE).unwrap(), &mut answer("CloseConsoleSessionResponse"), false).unwrap();
        assert_eq!(closed, "keywright_session=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
        let other = "/keywright.identity.v1.SessionService/WhoAmI";
        assert!(of(table.rpc(other).unwrap(), &mut answer("WhoAmIResponse"), true).is_none());
    }
}

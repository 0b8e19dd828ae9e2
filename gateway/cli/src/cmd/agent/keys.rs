//! Which keys sign for the user, and where, as the gateway lists them.

use keywright_domain::key::PublicKey;
use serde_json::Value;

use crate::fields;

/// A credential that signs.
#[derive(Debug, Clone)]
pub struct Key {
    pub credential: String,
    pub name: String,
    pub public: PublicKey,
    pub places: Vec<Place>,
}

/// A server that it is good for.
#[derive(Debug, Clone)]
pub struct Place {
    pub server: String,
    pub name: String,
    /// Empty: any user.
    pub username: String,
    pub host_keys: Vec<PublicKey>,
}

impl Key {
    /// An item of the list; none where it cannot be read.
    pub fn read(item: &Value) -> Option<Self> {
        let text = |pointer| fields::text(item, pointer).to_owned();
        Some(Self {
            credential: text("/credentialId"),
            name: text("/name"),
            public: PublicKey::parse_openssh(fields::text(item, "/publicKey")).ok()?,
            places: fields::list(item, "/servers").iter().map(Place::read).collect(),
        })
    }

    /// What `ssh-add -l` shows beside it.
    pub fn comment(&self) -> String {
        format!("{} ({})", self.name, self.credential)
    }
}

impl Place {
    fn read(item: &Value) -> Self {
        let text = |pointer| fields::text(item, pointer).to_owned();
        let pins = fields::texts(item, "/hostKeys").into_iter();
        Self {
            server: text("/serverId"),
            name: text("/name"),
            username: text("/username"),
            host_keys: pins.filter_map(|pin| PublicKey::parse_openssh(pin).ok()).collect(),
        }
    }

    fn pins(&self, host: &PublicKey) -> bool {
        self.host_keys.contains(host)
    }
}

/// The keys to offer to this host, each once; without a host all of them.
pub fn offered<'a>(keys: &'a [Key], host: Option<&PublicKey>) -> Vec<&'a Key> {
    let mut offered: Vec<&Key> = Vec::new();
    for key in keys {
        let good = host.is_none_or(|host| key.places.iter().any(|place| place.pins(host)));
        if good && !offered.iter().any(|before| before.public == key.public) {
            offered.push(key);
        }
    }
    offered
}

/// The credential and server that a login by this key on this host as this user goes by: one whose binding names the
/// user, else one that leaves it open.
pub fn place<'a>(
    keys: &'a [Key],
    public: &PublicKey,
    host: &PublicKey,
    user: &str,
) -> Result<(&'a Key, &'a Place), String> {
    let mine = keys.iter().filter(|key| key.public == *public);
    let places: Vec<(&Key, &Place)> = mine
        .flat_map(|key| key.places.iter().filter(|place| place.pins(host)).map(move |place| (key, place)))
        .collect();
    let of = |name: &str| places.iter().find(|(_, place)| place.username == name).copied();
    if let Some(found) = of(user).or_else(|| of("")) {
        return Ok(found);
    }
    Err(match places.first() {
        Some((_, place)) => {
            format!("on {} this key is for the user {}, not {user}", place.name, place.username)
        }
        None => "no server that uses this key has the session's host key approved".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use keywright_domain::key::{GenerateSpec, PrivateKey};
    use serde_json::json;

    use super::*;

    fn public() -> PublicKey {
        PrivateKey::generate(GenerateSpec::Ed25519).unwrap().public().clone()
    }

    fn key(credential: &str, public: &PublicKey, servers: &[(&str, &str, &PublicKey)]) -> Key {
        let servers: Vec<Value> = servers
            .iter()
            .map(|(id, user, host)| {
                json!({"serverId": id, "name": id, "username": user, "hostKeys": [host.openssh(), "rubbish"]})
            })
            .collect();
        let item = json!({"credentialId": credential, "name": "web", "publicKey": public.openssh(), "servers": servers});
        Key::read(&item).unwrap()
    }

    #[test]
    fn a_key_is_offered_to_hosts_that_its_servers_pin_and_once() {
        let (one, two, host, other) = (public(), public(), public(), public());
        let keys = [
            key("c1", &one, &[("s1", "me", &host)]),
            key("c2", &one, &[("s2", "me", &host)]),
            key("c3", &two, &[("s3", "me", &other)]),
        ];
        let ids = |host| offered(&keys, host).iter().map(|key| key.credential.as_str()).collect::<Vec<_>>();
        assert_eq!(ids(None), ["c1", "c3"]);
        assert_eq!(ids(Some(&host)), ["c1"]);
        assert_eq!(ids(Some(&public())), [""; 0]);
        assert_eq!(keys[0].comment(), "web (c1)");
    }

    #[test]
    fn the_binding_that_names_the_user_goes_first() {
        let (one, host) = (public(), public());
        let keys = [
            key("c1", &one, &[("open", "", &host)]),
            key("c2", &one, &[("named", "me", &host), ("root", "root", &host)]),
        ];
        let server =
            |user| place(&keys, &one, &host, user).map(|(key, place)| (&*key.credential, &*place.server));
        assert_eq!(server("me"), Ok(("c2", "named")));
        assert_eq!(server("else"), Ok(("c1", "open")));
        assert!(place(&keys[1..], &one, &host, "else").unwrap_err().contains("not else"));
        assert!(place(&keys, &one, &public(), "me").unwrap_err().contains("host key"));
        assert!(place(&keys, &public(), &host, "me").is_err());
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        assert!(Key::read(&json!({"publicKey": "ssh-dss AAAA"})).is_none());
        assert!(Key::read(&json!({})).is_none());
    }
}

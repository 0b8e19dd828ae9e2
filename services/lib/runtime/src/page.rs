//! Pages of a list, newest first: opaque tokens, bound to the filter that they were made for.

use crate::failure::Failure;
use data_encoding::BASE64URL_NOPAD;
use keywright_domain::clock::Instant;

pub const DEFAULT_SIZE: i32 = 100;
pub const MOST: i32 = 500;

/// Which page is asked for: rows older than `before`, by time and then by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub size: i64,
    pub before: Option<(Instant, String)>,
    filter: String,
}

impl Page {
    /// `filter` is whatever else narrows the list: a token holds for the same filter only.
    pub fn parse(size: i32, token: &str, filter: &str) -> Result<Self, Failure> {
        if !(0..=MOST).contains(&size) {
            return Err(Failure::violation("pageSize", format!("must be from 1 to {MOST}")));
        }
        let size = if size == 0 { DEFAULT_SIZE } else { size };
        let before = if token.is_empty() { None } else { Some(read(token, filter)?) };
        Ok(Self { size: i64::from(size), before, filter: filter.to_owned() })
    }

    /// The key that stands before every row, or the place where the last page ended. For
    /// `WHERE (created_at < $1 OR (created_at = $1 AND id < $2))`.
    pub fn key(&self) -> (i64, String) {
        match &self.before {
            Some((at, id)) => (at.micros(), id.clone()),
            None => (i64::MAX, String::new()),
        }
    }

    /// Cuts the rows (fetched with a limit of `size + 1`) and says where the next page begins.
    pub fn cut<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> (Instant, String)) -> (Vec<T>, String) {
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        if rows.len() <= size {
            return (rows, String::new());
        }
        rows.truncate(size);
        let next = rows.last().map(|row| {
            let (at, id) = key(row);
            self.token(at, &id)
        });
        (rows, next.unwrap_or_default())
    }

    /// The token of a page that begins after this key: for a list that ends its pages itself.
    pub fn token(&self, at: Instant, id: &str) -> String {
        BASE64URL_NOPAD.encode(format!("{}|{id}|{}", at.micros(), digest(&self.filter)).as_bytes())
    }
}

fn read(token: &str, filter: &str) -> Result<(Instant, String), Failure> {
    let refused = || Failure::violation("pageToken", "is not a token of this list");
    let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).map_err(|_| refused())?;
    let text = String::from_utf8(bytes).map_err(|_| refused())?;
    let mut parts = text.splitn(3, '|');
    let (at, id, made_for) = (parts.next(), parts.next(), parts.next());
    let at = at.and_then(|at| at.parse().ok()).ok_or_else(refused)?;
    if made_for != Some(digest(filter).as_str()) {
        return Err(refused());
    }
    Ok((Instant::from_micros(at), id.unwrap_or_default().to_owned()))
}

fn digest(filter: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, filter.as_bytes());
    BASE64URL_NOPAD.encode(digest.as_ref().get(..9).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_the_next_page_of_the_same_list_only() {
        let page = Page::parse(2, "", "tenant=a").unwrap();
        let rows = vec![(3, "c"), (2, "b"), (1, "a")];
        let (rows, next) = page.cut(rows, |(at, id)| (Instant::from_micros(*at), (*id).to_owned()));
        assert_eq!(rows.len(), 2);
        assert_eq!(Page::parse(2, &next, "tenant=a").unwrap().key(), (2, "b".to_owned()));
        assert!(Page::parse(2, &next, "tenant=b").is_err());
        assert!(Page::parse(2, "rubbish", "tenant=a").is_err());
        assert!(Page::parse(501, "", "").is_err());
        assert!(Page::parse(-1, "", "").is_err());
    }
}

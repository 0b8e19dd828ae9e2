//! Lists: as many pages as the user asked for.

use serde_json::{Value, json};

use super::{Answer, Client};
use crate::args::PageArgs;
use crate::error::{CliError, Result};
use crate::fields;

/// The most a gateway gives at once.
const PAGE: u32 = 500;

/// A list, whole or as far as asked.
pub struct Page {
    pub answer: Answer,
}

impl Page {
    pub fn items(&self) -> &[Value] {
        fields::list(&self.answer.value, "/items")
    }

    /// Whether the list goes on.
    pub fn has_more(&self) -> bool {
        !fields::text(&self.answer.value, "/nextPageToken").is_empty()
    }
}

/// A list that is being read, page by page.
pub struct Listing<'a> {
    path: &'a [&'a str],
    filter: &'a [(&'a str, Option<&'a str>)],
    args: &'a PageArgs,
    items: Vec<Value>,
    /// Where the next page begins.
    token: String,
    /// The answer, while one is all there was.
    only: Option<Answer>,
    pages: u32,
}

impl<'a> Listing<'a> {
    pub fn new(path: &'a [&'a str], filter: &'a [(&'a str, Option<&'a str>)], args: &'a PageArgs) -> Self {
        let token = args.page_token.clone().unwrap_or_default();
        Self { path, filter, args, items: Vec::new(), token, only: None, pages: 0 }
    }

    pub fn items(&self) -> &[Value] {
        &self.items
    }

    /// Reads a page; false if it was the last that is wanted. Dropped half-way it has read nothing.
    pub async fn next(&mut self, client: &Client) -> Result<bool> {
        let Self { path, filter, args, .. } = *self;
        let got = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        let size = if args.all { PAGE } else { args.limit.saturating_sub(got).min(PAGE) }.to_string();
        let mut query: Vec<(&str, &str)> =
            filter.iter().filter_map(|(name, value)| value.map(|value| (*name, value))).collect();
        query.push(("pageSize", &size));
        if !self.token.is_empty() {
            query.push(("pageToken", &self.token));
        }
        let answer = client.get_with(path, &query).await?;
        let next = fields::text(&answer.value, "/nextPageToken").to_owned();
        self.items.extend(fields::list(&answer.value, "/items").iter().cloned());
        self.pages = self.pages.saturating_add(1);
        self.only = (self.pages == 1).then_some(answer);
        let enough = next.is_empty() || (!args.all && self.items.len() >= args.limit as usize);
        if !enough && next == self.token {
            return Err(CliError::Protocol("a list that does not go forward".into()));
        }
        self.token = next;
        Ok(!enough)
    }

    /// What was read. One page is answered exactly as it came; several become one of the same form.
    pub fn into_page(self) -> Page {
        let joined = || Answer::of(json!({"items": self.items, "nextPageToken": self.token}));
        Page { answer: self.only.unwrap_or_else(joined) }
    }
}

impl Client {
    /// Reads a list, as far as asked.
    pub async fn list(
        &self,
        path: &[&str],
        filter: &[(&str, Option<&str>)],
        args: &PageArgs,
    ) -> Result<Page> {
        let mut listing = Listing::new(path, filter, args);
        while listing.next(self).await? {}
        Ok(listing.into_page())
    }
}

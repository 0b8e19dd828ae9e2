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

impl Client {
    /// Reads a list. One page is answered exactly as it came; several become one of the same form.
    pub async fn list(
        &self,
        path: &[&str],
        filter: &[(&str, Option<&str>)],
        args: &PageArgs,
    ) -> Result<Page> {
        let mut items: Vec<Value> = Vec::new();
        let mut token = args.page_token.clone().unwrap_or_default();
        let mut first = true;
        loop {
            let got = u32::try_from(items.len()).unwrap_or(u32::MAX);
            let size = if args.all { PAGE } else { args.limit.saturating_sub(got).min(PAGE) }.to_string();
            let mut query: Vec<(&str, &str)> =
                filter.iter().filter_map(|(name, value)| value.map(|value| (*name, value))).collect();
            query.push(("pageSize", &size));
            if !token.is_empty() {
                query.push(("pageToken", &token));
            }
            let answer = self.get_with(path, &query).await?;
            let page = fields::list(&answer.value, "/items");
            let next = fields::text(&answer.value, "/nextPageToken").to_owned();
            let total = items.len() + page.len();
            let enough = next.is_empty() || (!args.all && total >= args.limit as usize);
            if first && enough {
                return Ok(Page { answer });
            }
            if next == token {
                return Err(CliError::Protocol("a list that does not go forward".into()));
            }
            items.extend(page.iter().cloned());
            if enough {
                return Ok(Page { answer: Answer::of(json!({"items": items, "nextPageToken": next})) });
            }
            token = next;
            first = false;
        }
    }
}

//! Columns into domain types that cannot be wrong; the domain knows nothing of sqlx.

use crate::Error;
use sqlx::{Row, any::AnyRow};

pub trait Columns {
    fn text<T: TryFrom<String>>(&self, column: &str) -> Result<T, Error>;
    fn opt_text<T: TryFrom<String>>(&self, column: &str) -> Result<Option<T>, Error>;
    fn int<T: TryFrom<i64>>(&self, column: &str) -> Result<T, Error>;
    fn opt_int<T: TryFrom<i64>>(&self, column: &str) -> Result<Option<T>, Error>;
    fn blob(&self, column: &str) -> Result<Vec<u8>, Error>;
}

impl Columns for AnyRow {
    fn text<T: TryFrom<String>>(&self, column: &str) -> Result<T, Error> {
        parse(column, self.try_get::<String, _>(column)?)
    }

    fn opt_text<T: TryFrom<String>>(&self, column: &str) -> Result<Option<T>, Error> {
        self.try_get::<Option<String>, _>(column)?.map(|value| parse(column, value)).transpose()
    }

    fn int<T: TryFrom<i64>>(&self, column: &str) -> Result<T, Error> {
        parse(column, self.try_get::<i64, _>(column)?)
    }

    fn opt_int<T: TryFrom<i64>>(&self, column: &str) -> Result<Option<T>, Error> {
        self.try_get::<Option<i64>, _>(column)?.map(|value| parse(column, value)).transpose()
    }

    fn blob(&self, column: &str) -> Result<Vec<u8>, Error> {
        Ok(self.try_get(column)?)
    }
}

fn parse<V, T: TryFrom<V>>(column: &str, value: V) -> Result<T, Error> {
    T::try_from(value).map_err(|_| Error::Corrupt(column.to_owned()))
}

//! Values of a configuration file: which type an option takes, and a value as the text that the
//! option reads.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned as TomlSpanned;
use toml::de::DeValue;

use super::error::ConfigError;
use crate::config::options::{OptionSpec, Takes};
use crate::config::parse::{SpanError, Spanned};

/// A value with its position.
pub type Value<'a> = TomlSpanned<DeValue<'a>>;

/// The type of an option's value in a file. None is silently exchanged for another: a number is no
/// text, and a duration without a unit is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueForm {
    Flag,
    /// True for the default of the option, or one of its texts.
    FlagOrText,
    Count,
    Time,
    Size,
    Text,
    List,
}

impl ValueForm {
    pub(crate) fn of(option: &OptionSpec) -> ValueForm {
        match option.takes {
            _ if option.in_file.is_some_and(|key| key.is_list) => ValueForm::List,
            Takes::Nothing => ValueForm::Flag,
            Takes::OptionalValue => ValueForm::FlagOrText,
            Takes::Value("N") => ValueForm::Count,
            Takes::Value("TIME") => ValueForm::Time,
            Takes::Value("SIZE") => ValueForm::Size,
            Takes::Value(_) => ValueForm::Text,
        }
    }

    /// Names the type, as it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ValueForm::Flag => "true or false",
            ValueForm::FlagOrText => "true or a text in quotes",
            ValueForm::Count => "a whole number",
            ValueForm::Time => "a duration in quotes, as \"5s\"",
            ValueForm::Size => "a size in quotes, as \"64k\"",
            ValueForm::Text => "a text in quotes",
            ValueForm::List => "a text in quotes or a list of them",
        }
    }
}

/// A text with its position, if each of its bytes is one of the file: it has no escapes.
pub struct Text<'a> {
    text: Cow<'a, str>,
    span: Range<usize>,
    at: Option<usize>,
}

impl<'a> Text<'a> {
    fn new(file: &str, text: &'a str, span: Range<usize>) -> Text<'a> {
        let inner = file.get(span.start + 1..span.end.saturating_sub(1));
        let at = (inner == Some(text)).then_some(span.start + 1);
        Text { text: Cow::Borrowed(text), span, at }
    }

    /// Calls a reader of the command line. Its error gets a position in the file.
    pub fn read<T>(
        &self,
        read: impl FnOnce(Spanned<'_>) -> Result<T, SpanError>,
    ) -> Result<T, ConfigError> {
        let input = Spanned { text: &self.text, at: self.at.unwrap_or(0) };
        read(input).map_err(|error| {
            let span = if self.at.is_some() { error.span.clone() } else { self.span.clone() };
            ConfigError { span, ..ConfigError::from(error) }
        })
    }

    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }
}

/// Returns the text of a string.
pub fn text<'a>(file: &str, value: &'a Value<'_>) -> Result<Text<'a>, ConfigError> {
    match value.get_ref() {
        DeValue::String(text) => Ok(Text::new(file, text, value.span())),
        other => Err(mismatch(value, other, ValueForm::Text)),
    }
}

/// Returns the texts of a list, or of one string.
pub fn texts<'a>(file: &str, value: &'a Value<'_>) -> Result<Vec<Text<'a>>, Vec<ConfigError>> {
    let items = match value.get_ref() {
        DeValue::String(_) => return text(file, value).map(|text| vec![text]).map_err(|e| vec![e]),
        DeValue::Array(items) => items,
        other => return Err(vec![mismatch(value, other, ValueForm::List)]),
    };
    let (mut texts, mut errors) = (Vec::new(), Vec::new());
    for item in items.iter() {
        match text(file, item) {
            Ok(text) => texts.push(text),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(texts) } else { Err(errors) }
}

/// Returns the value of an option as the texts that it reads: one, or each of a list.
pub fn of_option<'a>(
    file: &str,
    option: &OptionSpec,
    value: &'a Value<'_>,
) -> Result<Vec<Text<'a>>, Vec<ConfigError>> {
    let form = ValueForm::of(option);
    let plain = |text: Cow<'a, str>| Ok(vec![Text { text, span: value.span(), at: None }]);
    match (form, value.get_ref()) {
        (ValueForm::List, _) => texts(file, value),
        (ValueForm::Flag, DeValue::Boolean(true)) => plain(Cow::Borrowed("")),
        (ValueForm::Flag, DeValue::Boolean(false)) => plain(Cow::Borrowed("false")),
        (ValueForm::FlagOrText, DeValue::Boolean(true)) => plain(Cow::Borrowed("")),
        (ValueForm::FlagOrText, DeValue::Boolean(false)) => Ok(Vec::new()),
        (ValueForm::Count, DeValue::Integer(number)) => {
            match u64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => plain(Cow::Owned(number.to_string())),
                Err(_) => {
                    let wrong = "not a number from 0 to 18446744073709551615";
                    Err(vec![ConfigError::at(value.span(), wrong)])
                }
            }
        }
        (ValueForm::Size, DeValue::String(text)) if is_bare(text) => {
            let wrong = format!("a size needs a unit; did you mean \"{text}b\"?");
            Err(vec![ConfigError::at(value.span(), wrong).accepts("64b, 64k, 1M, 1G")])
        }
        (
            ValueForm::FlagOrText | ValueForm::Time | ValueForm::Size | ValueForm::Text,
            DeValue::String(text),
        ) => Ok(vec![Text::new(file, text, value.span())]),
        (form, other) => Err(vec![mismatch(value, other, form)]),
    }
}

fn is_bare(text: &str) -> bool {
    text != "0" && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The error of a value of another type.
pub fn mismatch(value: &Value<'_>, found: &DeValue<'_>, form: ValueForm) -> ConfigError {
    let wrong = format!("expected {}, found {}", form.name(), kind(found));
    let unit = match (form, found) {
        (ValueForm::Time, DeValue::Integer(number)) => format!("{}s", number.as_str()),
        (ValueForm::Size, DeValue::Integer(number)) => format!("{}b", number.as_str()),
        _ => return ConfigError::at(value.span(), wrong),
    };
    ConfigError::at(value.span(), format!("{wrong}; did you mean \"{unit}\"?"))
}

/// Names the type of a value.
pub fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(true) => "true",
        DeValue::Boolean(false) => "false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

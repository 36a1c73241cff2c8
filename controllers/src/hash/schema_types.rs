//! How a value of a Go type is read from JSON and printed.

/// The shape of one Go type under `PodTemplateSpec`.
pub(super) enum Kind {
    Str,
    Bool,
    Int,
    /// Raw JSON kept as bytes (`FieldsV1`).
    Bytes,
    Quantity,
    IntOrString,
    Time,
    Ptr(&'static Kind),
    List(&'static Kind),
    /// A map from strings.
    Map(&'static Kind),
    /// An index into the table of structs.
    Struct(usize),
}

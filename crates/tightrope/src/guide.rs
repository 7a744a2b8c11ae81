//! How the pieces go together.

//! Being told when memory, processor or disk are short.

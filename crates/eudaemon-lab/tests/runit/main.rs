//! Differential judges: the same scene with Debian's runit 2.1.2 and with ours, equal to the byte.

mod svlogd;

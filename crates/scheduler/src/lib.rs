//! Decides who renders what: a pure function of state, time and input.

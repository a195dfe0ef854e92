//! The api-server alone, from outside: its command line, its files and its two listeners.

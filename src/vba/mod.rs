//! VBA: the project in its storage ([MS-OVBA]) and what its code can do.

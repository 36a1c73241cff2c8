//! Numbers of `linux/netfilter/nf_tables.h`.

pub const NEWTABLE: u16 = 0;
pub const DELTABLE: u16 = 2;
pub const NEWCHAIN: u16 = 3;
pub const DELCHAIN: u16 = 5;
pub const NEWRULE: u16 = 6;
pub const DELRULE: u16 = 8;
pub const NEWSET: u16 = 9;
pub const GETSET: u16 = 10;
pub const DELSET: u16 = 11;
pub const NEWSETELEM: u16 = 12;
pub const GETSETELEM: u16 = 13;
pub const DELSETELEM: u16 = 14;

pub const TABLE_NAME: u16 = 1;
pub const TABLE_FLAGS: u16 = 2;
pub const TABLE_USERDATA: u16 = 6;

pub const CHAIN_TABLE: u16 = 1;
pub const CHAIN_NAME: u16 = 3;
pub const CHAIN_HOOK: u16 = 4;
pub const CHAIN_TYPE: u16 = 7;
pub const HOOK_NUMBER: u16 = 1;
pub const HOOK_PRIORITY: u16 = 2;

pub const RULE_TABLE: u16 = 1;
pub const RULE_CHAIN: u16 = 2;
pub const RULE_EXPRESSIONS: u16 = 4;
pub const RULE_USERDATA: u16 = 7;

pub const SET_TABLE: u16 = 1;
pub const SET_NAME: u16 = 2;
pub const SET_FLAGS: u16 = 3;
pub const SET_KEY_TYPE: u16 = 4;
pub const SET_KEY_LEN: u16 = 5;
pub const SET_DATA_TYPE: u16 = 6;
pub const SET_DATA_LEN: u16 = 7;
pub const SET_ID: u16 = 10;
pub const SET_TIMEOUT: u16 = 11;
pub const SET_USERDATA: u16 = 13;
pub const SET_F_MAP: u32 = 0x8;
pub const SET_F_TIMEOUT: u32 = 0x10;
pub const SET_F_EVAL: u32 = 0x20;
pub const DATA_TYPE_VERDICT: u32 = 0xffff_ff00;

pub const ELEM_LIST_TABLE: u16 = 1;
pub const ELEM_LIST_SET: u16 = 2;
pub const ELEM_LIST_ELEMENTS: u16 = 3;
pub const LIST_ELEM: u16 = 1;
pub const ELEM_KEY: u16 = 1;
pub const ELEM_DATA: u16 = 2;
pub const ELEM_EXPIRATION: u16 = 5;
pub const ELEM_USERDATA: u16 = 6;
pub const DATA_VALUE: u16 = 1;

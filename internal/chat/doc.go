// Package chat is the language that all other packages speak: people, rooms,
// events, the requests and answers of the wire contract (docs/protocol.md),
// limits, errors for people, and close codes.
//
// It decides what is well formed. It does no I/O, keeps no state and knows
// neither Redis nor HTTP.
package chat

// Package drill puts people on a chat system, makes things fail, and has what the
// people saw judged. It is what cmd/drill runs.
//
// An act is one fault, or a mixture of some, with a crowd and rooms of its own: the
// crowd logs in, chats by the browser's rules (package client), the fault is made
// and healed, everybody writes a line that all others must see, and in the end a
// fresh login pages back what each room holds. All that was asked, answered and
// shown goes to a history, which package judge, who knows nothing of chatd, holds
// against the promises. An act becomes a Row.
//
// The system is one that this package starts (package cluster), or somebody's own,
// which it only talks to.
package drill

package chat

// Roles of people in a room, those who may do most first.
const (
	Owner     = "owner"
	Moderator = "moderator"
	Plain     = "member"
	Muted     = "muted"  // reads, and says nothing
	Banned    = "banned" // is out, and stays out
)

// General is the public room that everybody finds first: nobody owns it.
const General Room = "general"

// An Actor is who asks for something.
type Actor struct {
	Name    string
	Admin   bool   // is an administrator, and has an account
	Address string // for the audit log
	Near    string // the network that what they do counts for too, "" for none
}

// Standing returns the role of who in a room whose members have this entry of them, ""
// for none, or the *Error that keeps them out. An administrator is an owner wherever
// they may be; that is not in private rooms of others.
func Standing(who Actor, room Room, entry string) (role string, err error) {
	if entry == "" && !room.Private() {
		entry = Plain
	}
	switch _, _, direct := room.Direct(); {
	case direct:
		return Plain, nil
	case who.Admin && (room.Public() || entry != "" && entry != Banned):
		return Owner, nil
	case entry == "":
		return "", errStranger
	case entry == Banned:
		return "", ErrBanned
	}
	return entry, nil
}

var errStranger = &Error{Code: CodeForbidden, Message: "This room is private: ask one of its members for an invitation."}

// MayChange returns an error unless somebody in the role by, in this room, may give the
// role to to somebody else who has the role of.
func MayChange(by, of, to string) error {
	switch {
	case by == Owner:
	case by == Moderator && of != Owner && of != Moderator && to != Owner && to != Moderator:
	default:
		return errNoRight
	}
	return nil
}

var errNoRight = &Error{Code: CodeForbidden, Message: "Only those who moderate this room can do this, and not to one another."}

// Package feed keeps each room's events in Redis and carries them between
// instances. Giving an event its seq, keeping it, remembering its key and
// publishing it are one atomic script (append.lua), so there is no moment in
// which an event is kept and not told, or told and not kept.
//
// Redis holds, per room ({} is the hash tag that keeps a room on one node):
//
//	chatd:{ROOM}:feed            stream: entry id = event id (SEQ-NONCE), p = the event before, e = the event's JSON
//	chatd:{ROOM}:key:USER:KEY    string "DIGEST EVENT": USER's KEY made this EVENT; lapses after keyTTL
//	chatd:{ROOM}:edits           hash TARGET -> ids of the events that edited it
//	chatd:{ROOM}:gone            hash EVENT -> the event before it, for events whose content was retracted
//	chatd:{ROOM}:live            channel: "EVENT PREV\nJSON" for a durable event, "\nJSON" for one that may be lost
//	chatd:control                channel: notices between instances (Notice)
//	chatd:probe:INSTANCE         channel: an instance's word to itself (Relay)
//
// There is no counter beside the stream that could disagree with it: the newest
// entry's id says the last seq.
//
// The package decides nothing about readers (package room does). Who may say something
// is looked up in the append itself, in the roles that package directory keeps.
package feed

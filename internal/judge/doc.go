// Package judge says whether a chat server kept its promises, from a history of
// what people asked, what they were answered and what they were shown. It knows
// nothing of the server: the same judge stands over a simulation and over real
// processes, while they run or from a file.
//
// A client is one sender and one reader: a tab, a bot. Its view of a room is what
// a person would see there. A feed is what a fresh login pages at the end, when
// nothing fails any more and everybody had time to catch up.
//
// What is never allowed:
//
//	lost          confirmed, and not in the feed
//	phantom       shown or in the feed, but never sent; or in the feed, but refused for ever
//	altered       kind, room, sender, target or text differ from what was sent or was seen before
//	doubled       one key at two places of a feed, or an event twice in one view
//	clash         two events seen at one place of a room, or two answers for one key
//	hole          a view or a feed jumps, and nobody said so
//	out of order  one client's messages fall back; or A was confirmed before B was sent, and stands after B
//	stale         a reader with every chance to catch up ended before the end of the feed, or on another one
//	silent        continuity broke, and the reader was not told
//	gap           a reader was told of a gap, though the feed still goes on from where the view ended
//	taken back    a retraction stands in the feed, and what it took back as well
//	wrong         the server broke the contract in a way that the client saw
//	wrongly out   a login ended without cause
//	wrongly in    something was served after the login had ended
//
// When Redis itself lost data (it came back empty or older than it was, or a
// replica that was behind took over), the history says so. What was sent before may
// then be missing, but for what the history says Redis has kept; logins made before
// may be gone, places may be given twice and gaps be shown. The rest holds, above
// all that nobody who had seen what is missing was left untold.
// What the feed keeps no more because of its age is no loss either.
package judge

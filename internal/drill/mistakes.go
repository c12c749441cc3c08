package drill

// A Mistake is one that chatd makes on purpose in a build for that, and the faults
// under which the drill must find it.
type Mistake struct {
	Name, What string
	Faults     []string
}

// Mistakes are those of package mistake.
var Mistakes = []Mistake{
	{"dedupe", "a repeat of a message makes another one", []string{"herd", "herd"}},
	{"gap-check", "what the relay missed is not looked for", []string{"pubsub"}},
	{"join-buffer", "what comes while somebody joins is not kept for them", []string{"herd", "herd"}},
	{"shutdown", "SIGTERM ends an instance without asking anybody to move", []string{"term"}},
}

package feed

// Waiting returns how many appends wait for others to come back.
func Waiting(f *Feed) int {
	f.appends.mu.Lock()
	defer f.appends.mu.Unlock()
	return len(f.appends.waiting)
}

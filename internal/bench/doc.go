// Package bench measures what chatd costs, end to end and on real processes, beside
// what others cost on the same machine in the same minutes. It is what cmd/bench runs.
//
// A load is put on one system after the other: chatd, a floor (the least that a plain
// Go program must do for the same bytes on the same sockets), and peers, Centrifugo
// and Socket.IO. Each has a Redis of its own with the same settings, and history and
// recovery on. That is a round; the figures are medians of some rounds, and what is
// compared is compared within a round.
//
// All clients are a crowd: sockets read by one thread through epoll, which looks into
// no more of a frame than it must, the same for every system. Of the servers only
// their own processes count.
//
// It does not judge what is promised (package drill does), but it refuses a figure for
// messages that did not arrive.
package bench

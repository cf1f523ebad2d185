// Package holdfasttest is for the tests of programs that lock: it starts a lock
// service within a test. It is the real one, with its state in memory.
//
// In a bubble of testing/synctest the service and the clients that
// [Server.Client] gives keep the bubble's time: a hold of an hour runs out as
// soon as nobody has anything to do before that. Sockets cannot do so, so
// [Server.URL] is not for bubbles.
//
// What a program does when it loses a hold is worth a test. [Server.GoAway] cuts
// its clients off: the context of a hold ends before the hold does. The Force of
// a [Server] takes a key away at once: the owner hears of that when it extends
// the hold next, after a third of its exp. Somebody else who wants the key, or
// has it, is played by the Lock of the Server.
package holdfasttest

/*
Package proof shows that the rules hold: it puts a workload to a lock service,
records every call and answer, and checks the history that comes of it. What
the service is made of does not matter; package proof/faults does all sorts of
harm to it meanwhile.

# A history

A [Recorder] notes when each call was made and when its answer came, on one
monotonic clock. What a call did it did in between. A call without a definite
answer stays open: what it asked for may happen at any later moment, or never.
The workload puts each request to the service once ([Service]), so that one
call in the history is one request.

# The check

[Check] asks two kinds of questions. The first is whether the calls can have
happened one after the other, each at one moment between call and answer, by
the rules: the model in model.go says what the rules are, and porcupine looks
for the order. Keys that are never asked for together, and whose owners are not
the same, are looked at apart. The second are direct: versions are unique and
grow in real time, holds that exclude each other do not overlap, and the register
beside the locks refuses nobody who holds (direct.go); nobody is refused what it
holds, whoever is said to stand in line has asked to, and nobody is let in before
somebody who stood ahead (line.go).

# Time in the model

A hold ends when it is unlocked, or at some moment after its exp has passed
since it was granted or last extended. Nobody outside knows that moment, nor
when exactly the hold was granted. But each step has an earliest moment: not
before its call, nor before the step ahead of it in the order, nor before the
end of a hold that must be over for it. So a hold cannot have ended before the
earliest moment of its last grant or extension plus exp; an order in which a
step needs it to be over, and was answered before that, is none. These are
lower bounds throughout, so the least solution is the one that counts, and the
model needs to remember only that.
*/
package proof

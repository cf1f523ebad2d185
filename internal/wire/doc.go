/*
Package wire is the one place that knows how requests, answers and refusals
look as JSON. The HTTP server, the Go client and the stream all speak through
it, so that a body can only have one shape.

A request is read by [Decode], strictly: an unknown field, a field given
twice, a null, a number that is not whole, invalid UTF-8 or anything behind
the object is refused with CodeInvalid and a message that names the field. A
misspelt exp must not silently become the default. An answer is read by
Unmarshal-style functions (ReadGrant and its neighbours), generously: a field
that this version does not know is skipped, so that an older client
understands a newer server.

All durations are whole milliseconds. Those of a request are rounded up, so
that a hold is never shorter than asked; those of an answer are rounded down,
so that nobody believes in a hold that has ended.

# Envelopes

A message of the stream is one of these objects with some members of its own
in front, such as id and op. On the way out, every Append function appends one
whole object that has at least one member; to put it into an envelope, append
the envelope's members without the closing brace, then the object, and turn
the object's opening brace into a comma. On the way in, Decode collects
whatever fields it is allowed to see in one [Request], which remembers which
of them were given.
*/
package wire

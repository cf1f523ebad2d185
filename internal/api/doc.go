/*
Package api puts HTTP in front of a [holdfast.Service].

A request finds its row in the table of routes; the call there reads the body
or the query, asks the service, and appends its answer; one place writes
answers and one writes refusals. How bodies look is decided in internal/wire,
and whether a request makes sense in the service itself, so that what stands
here is HTTP only: paths, methods, headers, sizes, timeouts, and clients that
go away.

[Handler] is all of that for one request. [Server] adds what concerns
connections: timeouts, refusals of requests that are no HTTP, and the
graceful stop.

# The stream

On GET /stream one connection carries any number of calls. A call is carried
out by Handler.do, whichever way it came. A connection has one goroutine, which
reads; whoever has an answer while nobody writes becomes the writer, and a call
has a goroutine of its own only where it may have to wait. Holds may be tied to
a connection: ties knows them.

# The client that goes away

net/http ends the context of a request when its connection closes, once the
body has been read to its end. A service takes a request whose context ends
out of the line (rule 9), so that nothing more is needed here than to pass the
context on, and to write nothing to nobody. With the body read net/http also
lifts the deadline for reading, so that it does not cut short who stands in
line.
*/
package api

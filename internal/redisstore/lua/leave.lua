-- leave PLACE SERVER TICKET WHY: the client of a request has "gone"; or its wait
-- is "over", and a grant that came at the same moment is claimed; or the server
-- only wants to "look" who is in the way, since others wait at the same place.
--
-- {"granted", ms left, version…}, {"left", blockers…}; {"gone"} when the server
-- did not answer for such a request any more, or the grant was taken back;
-- {"waiting"} when there is a grant to be claimed after a look.

local place, server, ticket = ARGV[1], ARGV[2], ARGV[3]
local why = ARGV[4]

local w = waiter(place)
if not w or w.servers[server] ~= ticket then return {'gone'} end
if not w.granted then
  local names = {}
  for i, a in ipairs(w.asks) do names[i] = a.key end
  tidy(names)
end
local answer
if w.servers[server] ~= ticket then -- the server counted as dead, and its waiters have just left
  answer = {'gone'}
elseif not w.granted then
  answer = nameBlockers(w, {'left'})
  if why ~= 'look' then part(w, server) end
elseif why == 'over' then
  answer = claim(w, server)
elseif why == 'look' then
  answer = {'waiting'}
else
  answer = {'gone'}
  part(w, server)
end
settle()
finish()
return answer

-- lock UID EXP NOTE WAIT LIMITS (CODE KEY)…
-- WAIT is "" if the request does not want to stand in line. Else it is three
-- words: the server, its ticket, and how many ms after its last sign of life the
-- server counts as dead. For LIMITS see limits.lua.
--
-- {"granted", ms left, version…, …} as claim gives it, {"waiting", place, ms to the
-- next end of a hold}, {"locked", blockers…}, {"deadlock", uid, key, …} or {"limit", name, uid or key}

local server, ticket, dead = ARGV[4]:match('^(%S+) (%S+) (%d+)$')
local asked = table.concat(ARGV, '\0', FIRST)
local r = {uid = uid, asked = asked, asks = readAsks(asked), exp = exp, note = note, place = '+inf'}

local function inLine(w)
  answerFor(w, server, ticket)
  beat(server, tonumber(dead))
  return {'waiting', w.place, nextEnd()}
end

local function lock()
  if grantable(r) then
    local limit, owner = tooMany(r, false)
    if limit then return {'limit', limit, owner} end
    local versions, fresh, prior, left = grant(r)
    return granted(left, versions, string.format('%.0f', fresh), prior)
  end
  if not server then return nameBlockers(r, {'locked'}) end
  for _, place in ipairs(waiting(uid)) do
    local w = waiter(place)
    if w.asked == asked then
      w.exp, w.note = exp, note
      call('HSET', P .. 'w:' .. place, 'exp', exp, 'note', note)
      return inLine(w)
    end
  end
  local cycle = circle(r)
  if cycle then
    table.insert(cycle, 1, 'deadlock')
    return cycle
  end
  local limit, owner = tooMany(r, true)
  if limit then return {'limit', limit, owner} end
  local w = stand(r)
  noteLine('waiting', w)
  local answer = inLine(w)
  joined(w)
  return answer
end

local names = {}
for i, a in ipairs(r.asks) do names[i] = a.key end
tidy(names)
local answer = lock()
settle()
finish()
return answer

-- Letting in whoever may go, first come first, as in settle.go of the lock
-- table. Each change makes due for another look only those whom it can let in:
--
--   - A hold has ended, or somebody has left a line, or does not mind any more
--     who fills its limit: those in the line of that key, up to the first who
--     shuts out all behind it.
--   - An owner has got a hold: its other requests, which may be covered now.
--   - And whenever somebody has come to wait for somebody else, those for whom
--     more may be passed over in line than before. These are among the armed
--     owners: those who wait themselves while others wait for what they hold.

local due, nextDue = {}, 1 -- waiters from nextDue on, in the order of place

local function look(place)
  local w = waiter(place)
  if w.due then return end
  w.due = true
  local at = #due + 1
  while at > nextDue and due[at - 1].n > w.n do at = at - 1 end
  table.insert(due, at, w)
end

local function lookAtArmed()
  for _, uid in ipairs(call('SMEMBERS', P .. 'armed')) do
    for _, place in ipairs(waiting(uid)) do look(place) end
  end
end

local function opened(k)
  if not k.lined or k.n > 0 and not k.shared then return end
  local sharing = k.n -- owners who hold the key or would; those asking several times are left out
  walk(k.name, '+inf', function(s)
    local others = waiting(s.uid)
    for _, place in ipairs(others) do look(place) end
    if covered(s.uid, k, s) then return false end
    if not s.shared or s.limit > 0 and sharing + 1 >= s.limit then
      lookAtArmed()
      return true
    end
    if #others == 1 then sharing = sharing + 1 end
    return false
  end)
end

-- A hold has been granted.
local function gained(k, h)
  local mine = waiting(h.uid)
  for _, place in ipairs(mine) do look(place) end
  if #mine > 0 or k.lined then lookAtArmed() end
  -- A waiter's limit does not count any more once its owner holds the key.
  if k.lined and (h.limit > 0 or k.limited > 0) then opened(k) end
end

-- An owner has lost a hold, or a better one: what it asks in line may not be
-- covered any more, and so may wait for others.
local function lost(uid)
  if #waiting(uid) > 0 then lookAtArmed() end
end

-- A request has joined the line.
local function joined(w)
  -- Whoever waited for its owner waits for others through it.
  if #waiting(w.uid) > 1 or wanted(w.uid) then lookAtArmed() end
end

-- Starts a hold's life anew.
local function prolong(k, h, exp, note)
  h.exp, h.deadline = math.max(h.exp, exp), math.max(h.deadline, now + exp * 1000)
  if note ~= '' then h.note = note end
  h.unclaimed = false
  put(k, h)
  say('extended', h, exp)
end

-- Makes holds of all that r asks. Gives the versions in the order asked; the
-- new one, 0 if all was held; what upgrades replaced, by key; and in how many
-- ms the first of the holds ends.
local function grant(r)
  local versions, fresh, prior, ends = {}, 0, {}, math.huge
  for i, a in ipairs(r.asks) do
    local k = key(a.key)
    local h = hold(k, r.uid)
    if h and (a.shared or not h.shared) then
      prolong(k, h, r.exp, r.note)
    else
      if fresh == 0 then fresh = number() end
      local life = now + r.exp * 1000
      local new = {
        key = a.key, uid = r.uid, shared = a.shared, limit = a.limit, version = fresh,
        exp = r.exp, deadline = life, since = now, note = r.note, old = h and h.old, unclaimed = true,
      }
      if h then
        prior[a.key] = writeHold(h)
        new.exp, new.deadline, new.since = math.max(h.exp, r.exp), math.max(h.deadline, life), h.since
        if new.note == '' then new.note = h.note end
      end
      h = new
      put(k, h)
      say('granted', h, r.exp)
      gained(k, h)
    end
    versions[i], ends = h.version, math.min(ends, h.deadline)
  end
  return versions, fresh, prior, math.floor((ends - now) / 1000)
end

-- Tells all servers with waiters of a hold that may end before they look again
-- by themselves, if others wait for it: the one that was to be told of the
-- grant may have died. They look once a second.
local function shortLived(w)
  if w.exp >= 1000 then return end
  for _, a in ipairs(w.asks) do
    if key(a.key).lined then
      for _, server in ipairs(call('ZRANGE', P .. 'servers', 0, -1)) do
        call('PUBLISH', P .. 'wake:' .. server, '+' .. w.exp)
      end
      return
    end
  end
end

-- Lets a waiter in. Its record stays until it knows.
local function letIn(w)
  leave(w)
  local versions, fresh, prior = grant(w)
  for i, version in ipairs(versions) do versions[i] = string.format('%.0f', version) end
  w.granted, w.versions, w.prior = string.format('%.0f', fresh), table.concat(versions, ' '), prior
  w.ending = now + w.exp * 1000 -- nothing of it ends sooner by itself
  local fields = {'granted', w.granted, 'versions', w.versions, 'ending', w.ending}
  for name, record in pairs(prior) do
    fields[#fields + 1], fields[#fields + 2] = '=' .. name, record
  end
  call('HSET', P .. 'w:' .. w.place, unpack(fields))
  for server, ticket in pairs(w.servers) do call('PUBLISH', P .. 'wake:' .. server, ticket) end
  shortLived(w)
end

local function settle()
  while due[nextDue] do
    local w = due[nextDue]
    nextDue = nextDue + 1
    w.due = false
    if not w.granted and not w.gone and grantable(w) then
      letIn(w)
    end
  end
  due, nextDue = {}, 1
end

-- Ends a hold.
local function release(k, h, how, reason)
  drop(k, h)
  say(how, h, 0, reason)
  lost(h.uid)
  opened(k)
end

-- Takes a waiter out of the line for good.
local function cancel(w)
  noteLine('cancelled', w)
  w.gone = true
  leave(w)
  forget(w)
  for _, a in ipairs(w.asks) do opened(key(a.key)) end
end

-- Undoes a grant that nobody received (rule 9), save what its owner has asked
-- for again or extended since then.
local function takeBack(w)
  local fresh = tonumber(w.granted)
  local i = 0
  for version in w.versions:gmatch('%d+') do
    i = i + 1
    local k = key(w.asks[i].key)
    local h = hold(k, w.uid)
    if fresh > 0 and tonumber(version) == fresh and h and h.version == fresh and h.unclaimed then
      local record = w.prior[k.name]
      if record then
        local back = readHold(k.name, w.uid, record)
        back.unclaimed, back.old = false, h.old
        back.deadline = math.max(h.deadline, now + back.exp * 1000)
        put(k, back)
        say('granted', back, back.exp)
        lost(back.uid)
        opened(k)
      else
        release(k, h, 'released')
      end
    end
  end
  forget(w)
end

-- A server does not answer for a waiter any more. If no other one does, the
-- waiter leaves the line, or its grant is taken back.
local function part(w, server)
  w.servers[server] = nil
  call('SREM', P .. 's:' .. server, w.place)
  if next(w.servers) then
    call('HDEL', P .. 'w:' .. w.place, '@' .. server)
  elseif not w.granted then
    cancel(w)
  elseif w.received then
    forget(w)
  else
    takeBack(w)
  end
end

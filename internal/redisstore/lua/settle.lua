-- Letting in whoever may go, first come first, as in settle.go of the lock
-- table. Each change makes due for another look only those whom it can let in:
--
--   - A hold has ended, or somebody has left a line, or does not mind any more
--     who fills its limit: those in the line of that key, up to the first who
--     shuts out all behind it. If what has gone would have shared, and nobody in
--     that line has a limit, it was in the way of exclusive requests alone.
--   - An owner has got a hold: its other requests, which may be covered now.
--     Who asks a key that it holds is armed, as the next ones are.
--   - And whenever somebody has come to wait for somebody else, those for whom
--     more may be passed over in line than before. These are among the armed
--     owners: those who wait themselves while others wait for what they hold.

local due = {} -- a heap of waiters, first come first

local function look(w)
  if w.due then return end
  w.due = true
  local at = #due + 1
  while at > 1 do
    local up = math.floor(at / 2)
    if due[up].n < w.n then break end
    due[at], at = due[up], up
  end
  due[at] = w
end

local function nextDue()
  local first, w = due[1], table.remove(due)
  local n, at = #due, 1
  while n > 0 do
    local down = 2 * at
    if down < n and due[down + 1].n < due[down].n then down = down + 1 end
    if down > n or w.n < due[down].n then
      due[at] = w
      break
    end
    due[at], at = due[down], down
  end
  first.due = false
  return first
end

-- Whether somebody stands before w whom it could pass over.
local function behind(w)
  for _, a in ipairs(w.asks) do
    if firstIn(key(a.key)).n < w.n then return true end
  end
  return false
end

-- Whether somebody holds, alone, what w asks for. When that ends, w is looked at
-- for it.
local function shut(w)
  for _, a in ipairs(w.asks) do
    local k = key(a.key)
    if k.n > 0 and not k.shared and holders(k)[1].uid ~= w.uid then return true end
  end
  return false
end

-- Makes those due for whom more may be passed over than before.
local function lookAtArmed()
  for uid in pairs(armedOwners()) do
    for _, place in ipairs(waiting(uid)) do
      local w = waiter(place)
      if not shut(w) and behind(w) then look(w) end
    end
  end
end

-- Makes those due whom s does not shut out, though they stand behind it in the
-- line of k: other requests of its owner, and who may pass it over.
local function lookBehind(s, k)
  local others, armed, armedCount = waiting(s.uid), armedOwners()
  if #others == 1 and armedCount == 0 then return end
  if call('ZCARD', P .. 'l:' .. k.name) <= #others + armedCount then
    walk(k.name, '+inf', function(t)
      if t.uid == s.uid or armed[t.uid] then look(waiter(t.place)) end
    end, s.place)
    return
  end
  for _, place in ipairs(others) do
    local w = waiter(place)
    for _, a in ipairs(w.asks) do
      if a.key == k.name then look(w) end
    end
  end
  lookAtArmed()
end

-- Something is gone that was in the way on k. Shared says that it was a share
-- without a limit of its own; anything else counts as exclusive.
local function opened(k, shared)
  if not k.lined or k.n > 0 and not k.shared then return end
  local over = shared and k.limited == 0 -- was in the way of exclusive requests alone
  local sharing = k.n -- owners who hold the key or would; those asking several times are left out
  walk(k.name, '+inf', function(s)
    if over and s.shared then return false end
    over = false
    look(waiter(s.place))
    if covered(s.uid, k, s) then return false end
    if not s.shared or s.limit > 0 and sharing + 1 >= s.limit then
      lookBehind(s, k)
      return true
    end
    if k.limited > 0 and #waiting(s.uid) == 1 then sharing = sharing + 1 end
    return false
  end)
end

-- Whether r may have shut others out of the line of k, in which it stood until it
-- was granted h: because they would have filled its limit.
local function shutOut(r, k, h)
  if not r.n or h.limit == 0 then return false end
  local sharing = k.n
  if firstIn(k).n < r.n then -- or fewer: those who stand ahead of it
    sharing = sharing + call('ZCARD', P .. 'l:' .. k.name)
  end
  return sharing >= h.limit
end

-- r has been granted the hold h.
local function gained(r, k, h)
  local asksMore = #waiting(h.uid) > 0
  if asksMore or k.lined and k.limited > 0 then
    lookAtArmed() -- otherwise whoever waits for h has waited for r, or for something else of its owner
  end
  -- A waiter's limit does not count any more once its owner holds the key.
  if k.lined and (asksMore and k.limited > 0 or shutOut(r, k, h)) then opened(k) end
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
      gained(r, k, h)
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
  while due[1] do
    local w = nextDue()
    if not w.granted and not w.gone and grantable(w) then
      letIn(w)
    end
  end
end

-- Ends a hold.
local function release(k, h, how, reason)
  drop(k, h)
  say(how, h, 0, reason)
  lost(h.uid)
  opened(k, h.shared)
end

-- Takes a waiter out of the line for good.
local function cancel(w)
  noteLine('cancelled', w)
  w.gone = true
  leave(w)
  forget(w)
  for _, a in ipairs(w.asks) do opened(key(a.key), a.shared and a.limit == 0) end
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
        lookAtArmed() -- its owner may not be covered any more, and fills the limits of others again
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

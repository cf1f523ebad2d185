-- Keys and holds. What a script reads of a key it keeps here, and what it
-- changes of states and holds it writes at its end, in finish().
--
-- The state of a key is "!" and the hold, with its uid and "\0" before the note,
-- if it is held exclusively and has no line. Else it is three things in one
-- word: "x", "s" or, held by nobody, "-"; "l" if there is a line, else "-"; how
-- many holds there are. With a line, a blank follows and how many in it ask for
-- a limit.

local keys, touched = {}, {}

local function readHold(name, uid, record, from)
  local version, deadline, since, exp, limit, mode, rest = struct.unpack(HOLD, record, from)
  local note = record:sub(rest)
  if not uid then uid, note = note:match('^(%Z*)%z(.*)$') end
  return {
    key = name, uid = uid, version = version, deadline = deadline, since = since, exp = exp,
    limit = limit, shared = mode % 2 == 1, unclaimed = mode % 4 >= 2, old = mode >= 4, note = note,
  }
end

local function writeHold(h, owner)
  local mode = (h.shared and 1 or 0) + (h.unclaimed and 2 or 0) + (h.old and 4 or 0)
  return struct.pack(HOLD, h.version, h.deadline, h.since, h.exp, h.limit, mode) .. (owner or '') .. h.note
end

-- The state of a key: its name; n, how many hold it; shared, in which mode;
-- lined, whether it has a line; limited, how many in it ask for a limit; held,
-- those holds that were looked at (false: none), and all of them if all.
local function key(name)
  local k = keys[name]
  if k then return k end
  k = {name = name, at = P .. 'k:' .. name, n = 0, limited = 0, lined = false, shared = false, held = {}, changed = {}}
  local state = call('GET', k.at)
  if not state then
    k.all = true
  elseif state:sub(1, 1) == '!' then
    local h = readHold(name, nil, state, 2)
    k.plain, k.all, k.n, k.held[h.uid] = h, true, 1, h
  else
    local mode, lined, n, limited = state:match('^(.)(.)(%d+) ?(%d*)$')
    k.shared, k.lined, k.n, k.limited = mode == 's', lined == 'l', tonumber(n), tonumber(limited) or 0
    k.hash, k.all, k.wasLined = k.n > 0, k.n == 0, k.lined
  end
  keys[name] = k
  return k
end

local function touch(k)
  if not k.touched then
    k.touched = true
    touched[#touched + 1] = k
  end
end

-- The hold of uid on k, or false.
local function hold(k, uid)
  local h = k.held[uid]
  if h == nil then
    local record = not k.all and call('HGET', P .. 'h:' .. k.name, uid)
    h = record and readHold(k.name, uid, record) or false
    k.held[uid] = h
  end
  return h
end

-- Lua's own order of strings depends on the locale.
local function before(a, b)
  if a == b then return false end
  for i = 1, math.min(#a, #b) do
    local x, y = a:byte(i), b:byte(i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- All holds on k in the order of uid.
local function holders(k)
  if not k.sorted then
    if not k.all then
      local got = call('HGETALL', P .. 'h:' .. k.name)
      for i = 1, #got, 2 do
        local uid = got[i]
        if k.held[uid] == nil then k.held[uid] = readHold(k.name, uid, got[i + 1]) end
      end
      k.all = true
    end
    k.sorted = {}
    for _, h in pairs(k.held) do
      if h then k.sorted[#k.sorted + 1] = h end
    end
    table.sort(k.sorted, function(a, b) return before(a.uid, b.uid) end)
  end
  return k.sorted
end

-- Owners whose holds others wait for; see settle.lua for what that is good for.
local wants = {}

local function wanted(uid)
  if not wants[uid] then wants[uid] = tonumber(call('HGET', P .. 'wanted', uid) or 0) end
  return wants[uid] > 0
end

-- Counts that one more, or one less, of the holds of uid is waited for.
local function want(uid, more)
  local before = wanted(uid)
  wants[uid] = wants[uid] + more
  if wants[uid] > 0 then
    call('HSET', P .. 'wanted', uid, wants[uid])
  else
    call('HDEL', P .. 'wanted', uid)
    call('SREM', P .. 'armed', uid)
  end
  if not before and call('EXISTS', P .. 'q:' .. uid) == 1 then call('SADD', P .. 'armed', uid) end
end

-- The keys that uid holds, in order.
local function keysOf(uid)
  local names = call('ZRANGEBYLEX', P .. 'index', '[u' .. uid .. '\0', '(u' .. uid .. '\1')
  for i, name in ipairs(names) do names[i] = name:sub(#uid + 3) end
  local old = #names
  for _, member in ipairs(call('ZRANGE', P .. 'young', 0, -1)) do
    if member:sub(-#uid - 1) == '\0' .. uid then names[#names + 1] = member:sub(1, -#uid - 2) end
  end
  if #names > old then table.sort(names, before) end
  return names
end

local function put(k, h)
  if not hold(k, h.uid) then
    k.n = k.n + 1
    if k.lined then want(h.uid, 1) end
  end
  k.held[h.uid], k.shared, k.sorted, k.changed[h.uid] = h, h.shared, nil, true
  call('ZADD', P .. (h.old and 'old' or 'young'), h.deadline, k.name .. '\0' .. h.uid)
  touch(k)
end

local function drop(k, h)
  k.held[h.uid], k.sorted, k.changed[h.uid] = false, nil, true
  k.n = k.n - 1
  -- First, since it makes room: a Redis that is full then takes the rest as well.
  call('ZREM', P .. (h.old and 'old' or 'young'), k.name .. '\0' .. h.uid)
  if k.lined then want(h.uid, -1) end
  if h.old then call('ZREM', P .. 'index', 'u' .. h.uid .. '\0' .. k.name) end
  touch(k)
end

-- Rule 5: the next number.
local last

local function number()
  last = last or tonumber(call('GET', P .. 'last') or 0)
  last = math.max(last + 1, now)
  return last
end

-- Events, each as a list of strings; dropped unless somebody follows them.
local events = call('EXISTS', P .. 'watched') == 1 and {}

local function event(...)
  if not events then return end
  for _, field in ipairs({...}) do
    if type(field) == 'number' then field = string.format('%.0f', field) end
    events[#events + 1] = #field .. ':' .. field
  end
end

-- What happened to a hold. exp is the life that begins, or 0.
local function say(what, h, exp, reason)
  event(what, h.key, h.uid, h.shared and 's' or 'x', h.limit, h.version, exp, h.note, reason or '')
end

-- The answer to a request that was granted; see claim.lua.
local function granted(left, versions, fresh, prior)
  local answer = {'granted', left, unpack(versions)}
  answer[#answer + 1] = fresh
  for name, record in pairs(prior) do
    answer[#answer + 1], answer[#answer + 2] = name, record
  end
  return answer
end

local EVENT = 9 -- fields in an event

-- Writes the state of a key and those of its holds that have changed.
local function store(k)
  local all, was = P .. 'h:' .. k.name, k.hash
  k.hash = k.n > 0 and (k.lined or k.n > 1 or k.shared)
  if k.hash then
    if k.plain then k.changed[k.plain.uid] = true end
    for uid in pairs(k.changed) do
      local h = k.held[uid]
      if h then
        call('HSET', all, uid, writeHold(h))
      elseif was then
        call('HDEL', all, uid)
      end
    end
  elseif was then
    holders(k)
    call('DEL', all)
  end
  if k.n == 0 and not k.lined then
    call('DEL', k.at)
  elseif k.n == 1 and not k.hash then
    call('SET', k.at, '!' .. writeHold(holders(k)[1], holders(k)[1].uid .. '\0'))
  else
    local mode = k.n == 0 and '-' or k.shared and 's' or 'x'
    call('SET', k.at, mode .. (k.lined and 'l' .. k.n .. ' ' .. k.limited or '-' .. k.n))
  end
  if k.lined and not k.wasLined then
    call('ZADD', P .. 'index', 0, 'k' .. k.name)
  elseif not k.lined and (k.n == 0 or not k.hash and not holders(k)[1].old) then
    call('ZREM', P .. 'index', 'k' .. k.name)
  end
end

-- What every script must call when it has changed something.
local function finish()
  for _, k in ipairs(touched) do store(k) end
  if last then call('SET', P .. 'last', last) end
  if events and #events > 0 then
    local n = #events / EVENT
    local id = call('INCRBY', P .. 'watched', n)
    call('PUBLISH', KEYS[2], string.format('%.0f ', id - n + 1) .. table.concat(events))
  end
end

-- Makes holds old, at most so many; says how many.
local function age(most)
  local members = call('ZRANGE', P .. 'young', 0, most - 1, 'WITHSCORES')
  for i = 1, #members, 2 do
    local name, uid = members[i]:match('^(%Z*)%z(.*)$')
    local k = key(name)
    local h = hold(k, uid)
    call('ZREM', P .. 'young', members[i])
    if h then
      h.old = true
      k.changed[uid] = true
      call('ZADD', P .. 'old', members[i + 1], members[i])
      call('ZADD', P .. 'index', 0, 'k' .. name, 0, 'u' .. uid .. '\0' .. name)
      touch(k)
    end
  end
  return #members / 2
end

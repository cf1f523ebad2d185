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
    local record = not k.all and k.n > 0 and call('HGET', P .. 'h:' .. k.name, uid)
    h = record and readHold(k.name, uid, record) or false
    k.held[uid] = h
  end
  return h
end

-- Lua's own order of strings depends on the locale. Several bytes at a time, since
-- names often begin alike.
local function before(a, b)
  for i = 1, math.min(#a, #b) + 1, 4 do
    local a1, a2, a3, a4 = a:byte(i, i + 3)
    local b1, b2, b3, b4 = b:byte(i, i + 3)
    if a1 ~= b1 then return (a1 or 0) < (b1 or 0) end
    if a2 ~= b2 then return (a2 or 0) < (b2 or 0) end
    if a3 ~= b3 then return (a3 or 0) < (b3 or 0) end
    if a4 ~= b4 then return (a4 or 0) < (b4 or 0) end
  end
  return false
end

local function byUID(a, b) return before(a.uid, b.uid) end

-- All holds on k, in any order.
local function anyOrder(k)
  if not k.listed then
    if not k.all then
      local got = call('HGETALL', P .. 'h:' .. k.name)
      for i = 1, #got, 2 do
        local uid = got[i]
        if k.held[uid] == nil then k.held[uid] = readHold(k.name, uid, got[i + 1]) end
      end
      k.all = true
    end
    k.listed = {}
    for _, h in pairs(k.held) do
      if h then k.listed[#k.listed + 1] = h end
    end
  end
  return k.listed
end

-- All holds on k in the order of uid.
local function holders(k)
  local all = anyOrder(k)
  if not k.sorted then
    table.sort(all, byUID)
    k.sorted = true
  end
  return all
end

local FEW = 64 -- holds on a key that are read at once

-- Gives the holds on k to each, until it says true: in the order of uid if they are
-- few. Of many, no more are read than it takes.
local function eachHold(k, each)
  if not k.all and k.n > FEW then
    local given = {} -- a scan may come by twice
    for uid in pairs(k.changed) do
      given[uid] = true
      if k.held[uid] and each(k.held[uid]) then return true end
    end
    local cursor = '0'
    repeat
      local got = call('HSCAN', P .. 'h:' .. k.name, cursor, 'COUNT', FEW)
      cursor = got[1]
      for i = 1, #got[2], 2 do
        local uid = got[2][i]
        if k.held[uid] == nil then k.held[uid] = readHold(k.name, uid, got[2][i + 1]) end
        if not given[uid] and each(k.held[uid]) then return true end
        given[uid] = true
      end
    until cursor == '0'
    k.all = true
    return false
  end
  for _, h in ipairs(k.n > FEW and anyOrder(k) or holders(k)) do
    if each(h) then return true end
  end
  return false
end

-- Owners whose holds others wait for; see settle.lua for what that is good for.
local wants = {}

local function wanted(uid)
  if not wants[uid] then wants[uid] = tonumber(call('HGET', P .. 'wanted', uid) or 0) end
  return wants[uid] > 0
end

-- The owners who wait themselves while others wait for what they hold, as keys, and
-- how many they are.
local armed, armedCount

local function armedOwners()
  if not armed then
    local uids = call('SMEMBERS', P .. 'armed')
    armed, armedCount = {}, #uids
    for _, uid in ipairs(uids) do armed[uid] = true end
  end
  return armed, armedCount
end

local function arm(uid)
  if call('SADD', P .. 'armed', uid) == 1 and armed then armed[uid], armedCount = true, armedCount + 1 end
end

local function disarm(...)
  local n = call('SREM', P .. 'armed', ...)
  if n > 0 and armed then
    for _, uid in ipairs({...}) do armed[uid] = nil end
    armedCount = armedCount - n
  end
end

-- Counts that one more, or one less, of the holds of each is waited for. They are
-- no more than fit into a call.
local function want(uids, more)
  local known = (#uids > 1 or not wants[uids[1]]) and call('HMGET', P .. 'wanted', unpack(uids))
  local set, del, queues = {}, {}, {}
  for i, uid in ipairs(uids) do
    local before = wants[uid] or tonumber(known[i] or 0)
    wants[uid] = before + more
    if wants[uid] > 0 then
      set[#set + 1], set[#set + 2] = uid, wants[uid]
      if before == 0 then queues[#queues + 1] = P .. 'q:' .. uid end
    else
      del[#del + 1] = uid
    end
  end
  if #del > 0 then
    call('HDEL', P .. 'wanted', unpack(del))
    disarm(unpack(del))
  end
  if #set > 0 then call('HSET', P .. 'wanted', unpack(set)) end
  if #queues > 0 and call('EXISTS', unpack(queues)) > 0 then
    for _, queue in ipairs(queues) do
      if call('EXISTS', queue) == 1 then arm(queue:sub(#P + 3)) end
    end
  end
end

-- Does that for all holders of k.
local function wantHolders(k, more)
  local all = anyOrder(k)
  for from = 1, #all, FEW do
    local uids = {}
    for i = from, math.min(from + FEW - 1, #all) do uids[#uids + 1] = all[i].uid end
    want(uids, more)
  end
end

-- The keys that uid holds, in order, at most so many: from a key on ("[" and the
-- key) or behind it ("(").
local function keysOf(uid, from, most)
  local side, first = from:sub(1, 1), from:sub(2)
  local names = call('ZRANGEBYLEX', P .. 'index', side .. 'u' .. uid .. '\0' .. first, '(u' .. uid .. '\1', 'LIMIT', 0, most)
  for i, name in ipairs(names) do names[i] = name:sub(#uid + 3) end
  local old, cursor, seen = #names, '0', {} -- a scan may come by twice
  local match = '*\0' .. uid:gsub('[*?%[\\]', '\\%0')
  repeat
    local got = call('ZSCAN', P .. 'young', cursor, 'MATCH', match, 'COUNT', 1000)
    cursor = got[1]
    for i = 1, #got[2], 2 do
      local name = got[2][i]:sub(1, -#uid - 2)
      if not seen[name] and (before(first, name) or name == first and side == '[') then names[#names + 1] = name end
      seen[name] = true
    end
  until cursor == '0'
  if #names > old then
    table.sort(names, before)
    for i = #names, most + 1, -1 do names[i] = nil end
  end
  return names
end

local function put(k, h)
  if not hold(k, h.uid) then
    k.n = k.n + 1
    if k.lined then want({h.uid}, 1) end
  end
  k.held[h.uid], k.shared, k.listed, k.sorted, k.changed[h.uid] = h, h.shared, nil, nil, true
  call('ZADD', P .. (h.old and 'old' or 'young'), h.deadline, k.name .. '\0' .. h.uid)
  touch(k)
end

local function drop(k, h)
  k.held[h.uid], k.listed, k.sorted, k.changed[h.uid] = false, nil, nil, true
  k.n = k.n - 1
  -- First, since it makes room: a Redis that is full then takes the rest as well.
  call('ZREM', P .. (h.old and 'old' or 'young'), k.name .. '\0' .. h.uid)
  if k.lined then want({h.uid}, -1) end
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

-- Waiters and lines. A place is a string of digits, so that no name is ever
-- written with fewer digits than it has. What is asked of a key is a code:
-- "x" for exclusive, "0" for shared, "5" for shared with a limit of 5. A line
-- is a sorted set of spots: place:code:uid.

local waiters, queues, spots = {}, {}, {}

local function ask(code, name)
  return {code = code, key = name, shared = code ~= 'x', limit = tonumber(code) or 0}
end

-- What is asked in one word: code and key in turn. It also tells whether two
-- requests are the same.
local function readAsks(asked)
  local asks = {}
  for code, name in asked:gmatch('([^%z]+)%z([^%z]+)') do asks[#asks + 1] = ask(code, name) end
  return asks
end

-- The waiter at a place, also one that has been let in; nil if there is none.
local function waiter(place)
  local w = waiters[place]
  if w then return w end
  local fields = call('HGETALL', P .. 'w:' .. place)
  if #fields == 0 then return nil end
  w = {place = place, n = tonumber(place), servers = {}, prior = {}}
  for i = 1, #fields, 2 do
    local field, value = fields[i], fields[i + 1]
    local kind = field:sub(1, 1)
    if kind == '@' then
      w.servers[field:sub(2)] = value
    elseif kind == '=' then
      w.prior[field:sub(2)] = value
    else
      w[field] = value
    end
  end
  w.exp, w.since, w.asks = tonumber(w.exp), tonumber(w.since), readAsks(w.asked)
  waiters[place] = w
  return w
end

-- The places in which uid waits, first come first.
local function waiting(uid)
  if not queues[uid] then queues[uid] = call('ZRANGE', P .. 'q:' .. uid, 0, -1) end
  return queues[uid]
end

local function spot(member)
  local s = spots[member]
  if not s then
    local place, code, uid = member:match('^(%d+):(%w+):(.*)$')
    s = ask(code)
    s.place, s.n, s.uid = place, tonumber(place), uid
    spots[member] = s
  end
  return s
end

-- Gives the spots in the line of a key to each, first come first, up to but
-- without the place `to` ("+inf": all), until each says true. They begin behind
-- the place `behind`, if it is given.
local function walk(name, to, each, behind)
  local from, chunk = behind and '(' .. behind or '-inf', 2
  while true do
    chunk = math.min(chunk * 4, 256)
    local got = call('ZRANGEBYSCORE', P .. 'l:' .. name, from, '(' .. to, 'LIMIT', 0, chunk)
    for _, member in ipairs(got) do
      local s = spot(member)
      if each(s) then return true end
      from = '(' .. s.place
    end
    if #got < chunk then return false end
  end
end

-- The first spot in the line of a key.
local function firstIn(k)
  k.first = k.first or spot(call('ZRANGE', P .. 'l:' .. k.name, 0, 0)[1])
  return k.first
end

-- The same from before a place on, nearest first.
local function walkBack(name, from, each)
  local chunk = 2
  while true do
    chunk = math.min(chunk * 4, 256)
    local got = call('ZREVRANGEBYSCORE', P .. 'l:' .. name, '(' .. from, '-inf', 'LIMIT', 0, chunk)
    for _, member in ipairs(got) do
      local s = spot(member)
      if each(s) then return true end
      from = s.place
    end
    if #got < chunk then return false end
  end
end

local function noteLine(what, w)
  for _, a in ipairs(w.asks) do
    event(what, a.key, w.uid, a.shared and 's' or 'x', a.limit, '0', '0', w.note, '')
  end
end

-- A server answers for a place under its own number for the request, by
-- which it wants to be told.
local function answerFor(w, server, ticket)
  w.servers[server] = ticket
  call('HSET', P .. 'w:' .. w.place, '@' .. server, ticket)
  call('SADD', P .. 's:' .. server, w.place)
end

-- Puts a request at the end of the lines of its keys.
local function stand(r)
  local n = number()
  local place = string.format('%.0f', n)
  local w = {
    place = place, n = n, uid = r.uid, asked = r.asked, asks = r.asks,
    exp = r.exp, note = r.note, since = now, servers = {}, prior = {},
  }
  call('HSET', P .. 'w:' .. place, 'uid', w.uid, 'asked', w.asked, 'exp', w.exp, 'note', w.note, 'since', now)
  local queue = waiting(w.uid)
  queue[#queue + 1] = place
  call('ZADD', P .. 'q:' .. w.uid, n, place)
  call('INCR', P .. 'waiters')
  if #w.asks > 1 then call('INCRBY', P .. 'more', #w.asks - 1) end
  if #queue == 1 and wanted(w.uid) then arm(w.uid) end
  for _, a in ipairs(w.asks) do
    local k = key(a.key)
    call('ZADD', P .. 'l:' .. k.name, n, place .. ':' .. a.code .. ':' .. w.uid)
    if a.limit > 0 then k.limited = k.limited + 1 end
    if not k.lined then
      k.lined, k.first = true, nil
      wantHolders(k, 1)
    end
    touch(k)
  end
  waiters[place] = w
  return w
end

-- Takes a waiter out of all its lines. Its record stays.
local function leave(w)
  call('ZREM', P .. 'q:' .. w.uid, w.place)
  queues[w.uid] = nil
  if call('DECR', P .. 'waiters') == 0 then call('DEL', P .. 'waiters') end
  if #w.asks > 1 and call('DECRBY', P .. 'more', #w.asks - 1) == 0 then call('DEL', P .. 'more') end
  if #waiting(w.uid) == 0 and wanted(w.uid) then disarm(w.uid) end
  for _, a in ipairs(w.asks) do
    local k = key(a.key)
    call('ZREM', P .. 'l:' .. k.name, w.place .. ':' .. a.code .. ':' .. w.uid)
    if a.limit > 0 then k.limited = k.limited - 1 end
    k.first = nil
    if call('EXISTS', P .. 'l:' .. k.name) == 0 then
      k.lined = false
      wantHolders(k, -1)
    end
    touch(k)
  end
end

-- Forgets the record of a waiter that has left the line, and with it who
-- answered for it.
local function forget(w)
  for server in pairs(w.servers) do call('SREM', P .. 's:' .. server, w.place) end
  call('DEL', P .. 'w:' .. w.place)
  waiters[w.place] = nil
end

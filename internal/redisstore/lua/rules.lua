-- Who is in the way of a request: rules 2, 3 and 4. The same as rules.go and
-- deadlock.go of the lock table, where the reasons are told; what both say
-- is compared in a test.
--
-- A request is {uid, asks, place}, and the place of one that does not stand in
-- line is "+inf". Functions that yield stop when told true, and then say true.

-- Whether uid holds what is asked already.
local function covered(uid, k, a)
  local own = hold(k, uid)
  return own and (a.shared or not own.shared)
end

-- Whether there are holders in the way, without looking at each.
local function heldAgainst(uid, k, a)
  if k.n == 0 then return false end
  local others = k.n - (hold(k, uid) and 1 or 0)
  if others == 0 then return false end
  if not a.shared or not k.shared then return true end
  return a.limit > 0 and others >= a.limit
end

local function holdersInTheWay(uid, k, a, yield)
  if not heldAgainst(uid, k, a) then return false end
  return eachHold(k, function(h) return h.uid ~= uid and yield(h) end)
end

-- Those in line before r who count as holders already and with whom r could
-- not share the key; but not those whom pass names.
local function lineInTheWay(r, k, a, pass, yield)
  local sharing, counted -- owners who share the key ahead of r
  local limits = a.limit > 0 or k.limited > 0
  return k.lined and walk(k.name, r.place, function(s)
    local blocks = not a.shared or not s.shared
    if not blocks and not limits then return false end
    if s.uid == r.uid or covered(s.uid, k, s) or pass and pass(s) then return false end
    if not blocks then
      if not sharing then
        local own = hold(k, r.uid)
        sharing, counted = k.shared and k.n - (own and 1 or 0) or 0, {}
      end
      if not counted[s.uid] then
        counted[s.uid] = true
        sharing = sharing + 1
      end
      -- r would fill the limit of s; or s fills that of r
      blocks = s.limit > 0 and sharing >= s.limit or a.limit > 0 and sharing >= a.limit
    end
    return blocks and yield(s)
  end)
end

-- The owners whom w waits for, nobody being passed over: yield(uid, holds).
-- Of those in line some may be left out who are reached through one that is
-- named, unless that is target.
local function waitsFor(w, target, yield)
  for _, a in ipairs(w.asks) do
    local k = key(a.key)
    if not covered(w.uid, k, a) then
      if holdersInTheWay(w.uid, k, a, function(h) return yield(h.uid, true) end) then return true end
      local found = false
      if k.limited > 0 then
        found = lineInTheWay(w, k, a, nil, function(s) return yield(s.uid, false) end)
      else
        -- Everybody further ahead is in the way of the nearest one who asks for
        -- exclusive, or is its owner.
        walkBack(k.name, w.place, function(s)
          if s.shared and a.shared or s.uid == w.uid or covered(s.uid, k, s) then return false end
          found = yield(s.uid, false)
          return found or not s.shared and s.uid ~= target
        end)
      end
      if found then return true end
    end
  end
  return false
end

-- Gives the function that says whether somebody in line waits, directly or
-- through others, for something that target holds, and so does not stand in
-- its way. It walks from owner to owner, each at most once.
local function passing(target)
  local known = {} -- owners walked through: whether they wait for target
  return function(s)
    if not wanted(target) then return false end
    local walked = {}
    local function step(w)
      return waitsFor(w, target, function(uid, holds)
        if uid == target then return holds end
        if known[uid] == nil then
          known[uid] = false
          walked[#walked + 1] = uid
          return false
        end
        return known[uid]
      end)
    end
    local found, i = step(waiter(s.place)), 1
    while not found and walked[i] do
      for _, place in ipairs(waiting(walked[i])) do
        found = step(waiter(place))
        if found then break end
      end
      i = i + 1
    end
    if found then
      -- Which of those on the walk led here is not known; s did.
      for _, uid in ipairs(walked) do known[uid] = nil end
      known[s.uid] = true
    end
    return found
  end
end

-- Rules 1 to 4 in one question.
local function grantable(r)
  local pass = passing(r.uid)
  for _, a in ipairs(r.asks) do
    local k = key(a.key)
    if not covered(r.uid, k, a) then
      if heldAgainst(r.uid, k, a) then return false end
      if lineInTheWay(r, k, a, pass, function() return true end) then return false end
    end
  end
  return true
end

local MOST = 32 -- holdfast.MaxBlockers

-- Adds to answer who is in the way of r: seven fields each.
local function nameBlockers(r, answer)
  local pass, n = passing(r.uid), 0
  local function add(...)
    for _, field in ipairs({...}) do answer[#answer + 1] = field end
    n = n + 1
    return n >= MOST
  end
  for _, a in ipairs(r.asks) do
    local k = key(a.key)
    if not covered(r.uid, k, a) then
      local full = holdersInTheWay(r.uid, k, a, function(h)
        local left = math.max(0, math.floor((h.deadline - now) / 1000))
        return add(k.name, h.uid, h.version, h.shared and 's' or 'x', left, h.note, 0)
      end) or lineInTheWay(r, k, a, pass, function(s)
        return add(k.name, s.uid, 0, s.shared and 's' or 'x', 0, waiter(s.place).note, 1)
      end)
      if full then break end
    end
  end
  return answer
end

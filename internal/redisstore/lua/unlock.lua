-- unlock UID (KEY VERSION)… gives which of the tokens were released, by number.

local names = {}
for i = 2, #ARGV, 2 do names[#names + 1] = ARGV[i] end
tidy(names)
local released = {}
for i, name in ipairs(names) do
  local k = key(name)
  local h = hold(k, uid)
  if h and h.version == tonumber(ARGV[2 * i + 1]) then
    release(k, h, 'released')
    released[#released + 1] = i
  end
end
settle()
finish()
return released

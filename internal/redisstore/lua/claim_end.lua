
local w = waiter(ARGV[1])
if not w or w.servers[ARGV[2]] ~= ARGV[3] then return {'gone'} end
if not w.granted then return {'waiting'} end
return claim(w, ARGV[2])

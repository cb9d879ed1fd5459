# The classic functions from Julia.   julia classic.jl [SERVERS]   (the library: ETCD_API_LIBRARY or libetcd.so)
const lib = get(ENV, "ETCD_API_LIBRARY", "libetcd.so")
const OK = Cint(0)

# A string that the library made, copied and freed; `nothing` for NULL.
function take(p::Ptr{UInt8})
    p == C_NULL && return nothing
    s = unsafe_string(p)
    ccall(:free, Cvoid, (Ptr{UInt8},), p)
    return s
end
check(result, what) = result == OK || error("$what: result $result, $(Libc.strerror())")

s = ccall((:etcd_open_str, lib), Ptr{Cvoid}, (Cstring,), get(ARGS, 1, "mem://"))
s == C_NULL && error("etcd_open_str: $(Libc.strerror())")

etcd_set(key, value; precond=C_NULL, ttl=0) =
    ccall((:etcd_set, lib), Cint, (Ptr{Cvoid}, Cstring, Cstring, Cstring, Cuint), s, key, value, precond, ttl)
etcd_get(key) = take(ccall((:etcd_get, lib), Ptr{UInt8}, (Ptr{Cvoid}, Cstring), s, key))

check(etcd_set("julia/greeting", "hello"), "set")
check(etcd_set("julia/greeting", "hello, Julia", precond="hello"), "set if it is hello")
println("greeting is ", etcd_get("julia/greeting"), "; below julia is ", etcd_get("julia"))

index = Ref{Ptr{UInt8}}(C_NULL)
check(ccall((:etcd_lock, lib), Cint, (Ptr{Cvoid}, Cstring, Cuint, Cstring, Ref{Ptr{UInt8}}),
            s, "julia/lock", 10, C_NULL, index), "lock")
held = take(index[])
check(ccall((:etcd_unlock, lib), Cint, (Ptr{Cvoid}, Cstring, Cstring), s, "julia/lock", held), "unlock")
println("held lock ", held)

key, value, from, at = Ref{Ptr{UInt8}}(C_NULL), Ref{Ptr{UInt8}}(C_NULL), Ref(parse(Cint, held)), Ref(Cint(0))
check(etcd_set("julia/greeting", C_NULL), "delete")
check(ccall((:etcd_watch, lib), Cint,
            (Ptr{Cvoid}, Cstring, Ref{Ptr{UInt8}}, Ref{Ptr{UInt8}}, Ref{Cint}, Ref{Cint}),
            s, "julia/greeting", key, value, from, at), "watch")
println("saw ", take(key[]), " become ", take(value[]))
ccall((:etcd_close, lib), Cvoid, (Ptr{Cvoid},), s)

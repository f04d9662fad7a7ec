"""Making the limiter that fits the table: where the table is on an engine, one of a subclass with other verbs.

So the local path has no test of where a table is: the class of the object decides. `TokenBucket(...)` asks
`TokenBucket.__new__` for the object, a slot of the class; an extension class can set it only from C, as here.
"""

from cpython.object cimport PyObject

from functools import partial

from .._core import Limiter
from ..limiters.algorithms import FixedWindow, LeakyBucket, SlidingLog, SlidingWindow, TokenBucket
from ..limiters.composite import All

cdef extern from "Python.h":
    ctypedef object (*newfunc)(type, object, PyObject*)
    ctypedef struct PyTypeObject:
        newfunc tp_new
    void PyType_Modified(PyTypeObject*)

ALGORITHMS = TokenBucket, LeakyBucket, FixedWindow, SlidingWindow, SlidingLog
cdef newfunc make_all = NULL
cdef dict local_new = {}
cdef dict made_classes = {}


cdef object table_of(PyObject* named):
    """Return the table that a limiter is made with, if an engine keeps it."""
    table = None if named == NULL else (<dict>named).get("table")
    return table if getattr(table, "remote", None) is not None else None


def remote_class(cls, bint is_leased):
    """Return the class of limiters like `cls` whose table is on an engine."""
    found = made_classes.get((cls, is_leased))
    if found is None:
        from .leased import LeasedVerbs  # not before: it imports asyncio
        from .verbs import RemoteVerbs

        base = [base for base in cls.__mro__ if base in ALGORITHMS][0]
        verbs = LeasedVerbs if is_leased else RemoteVerbs
        bases = (verbs, cls) if cls is base else (cls, remote_class(base, is_leased))
        body = {"__doc__": cls.__doc__, "__module__": cls.__module__, "_local_class": cls, "_change": Limiter.change,
                "_change_rate_here": Limiter._change_rate}
        found = made_classes[cls, is_leased] = type(cls.__name__, bases, body)
    return found


cdef newfunc local_new_of(cls) except NULL:
    """Return what makes the objects of a class whose table is on this host."""
    return <newfunc><void*><size_t>local_new[[base for base in cls.__mro__ if base in local_new][0]]


cdef object new_limiter(type cls, object given, PyObject* named):
    table = table_of(named)
    if table is None or cls._is_remote:
        return local_new_of(cls)(cls, given, named)
    limiter = table.remote.publish(partial(make_remote, cls, given, <object>named))
    from .verbs import attach_verbs

    attach_verbs(limiter)
    if table.remote.options.lease is not None:
        from .leased import attach_leases

        attach_leases(limiter)
    return limiter


def make_remote(cls, given, named):
    """Make the object. It may put its quota in force, which its table publishes."""
    is_leased = named["table"].remote.options.lease is not None
    return local_new_of(cls)(remote_class(cls, is_leased), given, <PyObject*>named)


cdef object new_all(type cls, object given, PyObject* named):
    if cls is All:
        for one in given:
            if getattr(one, "_is_remote", False):
                from .composite import RemoteAll

                return make_all(RemoteAll, given, named)
    return make_all(cls, given, named)


for cls in ALGORITHMS:
    local_new[cls] = <size_t><void*>(<PyTypeObject*>cls).tp_new
    (<PyTypeObject*>cls).tp_new = new_limiter
    PyType_Modified(<PyTypeObject*>cls)
make_all = (<PyTypeObject*>All).tp_new
(<PyTypeObject*>All).tp_new = new_all
PyType_Modified(<PyTypeObject*>All)

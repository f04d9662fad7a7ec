"""The certificate of the gateway, which may be replaced while it serves."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Certificates:
    """The files of a TLS context.

    Args:
        certificate, key, authorities: the files; key and authorities may be None.
    """

    certificate: str
    key: str | None
    authorities: str | None
    served: ClassVar[tuple["Certificates", ssl.SSLContext] | None] = None  # what this process serves with

    def load_into(self, context: ssl.SSLContext) -> None:
        """Load the files into a context, for the connections that come from now on.

        Raises: OSError or ValueError that names the files.
        """
        try:
            context.load_cert_chain(self.certificate, self.key, password="")  # without asking for one
            if self.authorities:
                context.load_verify_locations(self.authorities)
        except ssl.SSLError as error:
            files = ", ".join(filter(None, (self.certificate, self.key, self.authorities)))
            raise ValueError(f"no key, certificate and CAs that fit: {files}: {error}") from error

    @classmethod
    def make_context(cls, config: Any, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        """Make the context that uvicorn serves with; it calls this in each process."""
        context = default()
        cls.served = cls(config.ssl_certfile, config.ssl_keyfile, config.ssl_ca_certs), context
        return context

    @classmethod
    def read_again(cls) -> bool:
        """Read the files again, and return whether there are any. With wrong ones the former stay.

        Raises: OSError or ValueError that names the files.
        """
        if cls.served is None:
            return False
        files, context = cls.served
        files.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))  # a context would keep half of what is wrong
        files.load_into(context)
        return True

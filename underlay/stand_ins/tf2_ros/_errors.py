"""The exceptions of tf2, under its names."""


class TransformException(Exception):  # noqa: N818
    """No transform; the base of all others."""


class LookupException(TransformException):
    """A frame is unknown."""


class ConnectivityException(TransformException):
    """Two frames belong to different trees."""


class ExtrapolationException(TransformException):
    """The transform is known, but not at that time."""


class InvalidArgumentException(TransformException):
    """A name that no frame can have."""

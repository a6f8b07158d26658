"""Keys that all API processes share."""

from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class SigningKey(Base):
    """A random key, made by the first process that needs it."""

    __tablename__ = "signing_keys"

    purpose: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str]

"""The campaign: where its inputs and its store are, and how large it is.

This is the one resource that knows paths. It opens nothing until an asset asks.
"""

from pathlib import Path

import dagster as dg
from pydantic import Field

from darkhaloscope.artifacts import ArtifactStore
from darkhaloscope.profiles import Profile, get_profile
from darkhaloscope.survey.roots import RootSettings, open_root


class Campaign(dg.ConfigurableResource):
    """Roots and sizes of a campaign."""

    root: str = Field(default="runs/demo", description="Directory of the campaign; holds the store.")
    survey_root: str = Field(
        default="",
        description="Survey tree in its own layout: a directory, s3://... or https://...; "
        "empty: <root>/survey.",
    )
    coadd_cache: str = Field(
        default="", description="Directory of files fetched from a remote survey root; empty: <root>/cache."
    )
    coadd_cache_gb: float = Field(default=50.0, description="Size the cache is kept below.")
    survey_in_flight: int = Field(default=4, description="Files fetched from the survey at once.")
    survey_checksums: str = Field(
        default="", description="sha256sum lines of survey files, paths below the root; empty: none."
    )
    s3_endpoint: str = Field(
        default="",
        description="http://host:port of an S3 server other than Amazon's; empty: AWS_ENDPOINT_URL.",
    )
    cosmos_catalog: str = Field(
        default="", description="Folder in GalSim's RealGalaxyCatalog layout; empty: <root>/cosmos."
    )
    anchor_csv: str = Field(
        default="",
        description="Known lenses and look-alikes in lenscat's columns; "
        "empty: <survey root>/catalogs/known-objects.csv.",
    )
    release: str = Field(default="dr10-south", description="Survey release by name.")
    host_selections: list[str] = Field(
        default=[],
        description="Parent selections of which host cutouts are made; empty: all. "
        "Experiments find no hosts of other selections.",
    )
    profile: str = Field(default="demo", description="Sizes: demo, full or test.")
    tiles: list[str] = Field(default=[], description="Tiles of the campaign; empty: all of the footprint.")
    reuse: bool = Field(
        default=True, description="Keep a partition that the same plan has made and whose hashes agree."
    )

    @property
    def store(self) -> ArtifactStore:
        """The store of this campaign."""
        return ArtifactStore(Path(self.root) / "store")

    @property
    def sizes(self) -> Profile:
        """The profile's sizes."""
        return get_profile(self.profile)

    @property
    def survey(self) -> RootSettings:
        """Root of the survey tree and how its files are reached."""
        return RootSettings(
            location=self.survey_root or str(Path(self.root) / "survey"),
            cache=self.coadd_cache or str(Path(self.root) / "cache"),
            cache_gb=self.coadd_cache_gb,
            in_flight=self.survey_in_flight,
            checksums=self.survey_checksums,
            s3_endpoint=self.s3_endpoint,
        )

    @property
    def cosmos_path(self) -> Path:
        """Folder of the source galaxies."""
        return Path(self.cosmos_catalog) if self.cosmos_catalog else Path(self.root) / "cosmos"

    @property
    def anchor_path(self) -> Path:
        """Catalogue of known lenses and look-alikes."""
        if self.anchor_csv:
            return Path(self.anchor_csv)
        return open_root(self.survey).path("catalogs/known-objects.csv")

    def campaign_tiles(self) -> list[str]:
        """Return the tiles that this campaign must hold, from the footprint or as named."""
        return list(self.tiles) or list(self.store.record("footprint").summary["tiles"])

"""Showing a plan without carrying it out."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel

from networks.spacemesh.plan import NetworkPlan
from tasks.reporting import logger, show_table


class PlanReport(BaseModel):
    """What deploy-network would do."""

    summary: dict[str, str]
    pods: list[dict[str, str]]

    def as_text(self) -> str:
        """For people."""
        width = max(len(key) for key in self.summary)
        lines = [f"{key:<{width}}  {value}" for key, value in self.summary.items()]
        rows = [list(self.pods[0]), *([*row.values()] for row in self.pods)] if self.pods else []
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
        table = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, "", *table])


@task(name="show plan", description="What would be made, as a table. Nothing is changed.", cache_policy=NO_CACHE, persist_result=False)
async def show_plan(plan: NetworkPlan) -> PlanReport:
    """The plan for people."""
    made = PlanReport(summary=plan.summary(), pods=plan.as_table())
    await show_table(f"{plan.name}-plan", [{"what": key, "is": value} for key, value in made.summary.items()], f"Plan of {plan.name}")
    await show_table(f"{plan.name}-planned-pods", made.pods, f"Pods that {plan.name} would have")
    logger().info("planned only, nothing was changed:\n%s", made.as_text())
    return made

"""Resource Groups Tagging API."""

from . import TAGS, Case, aws, unique


class Tagging(Case):
    def test_a_page_can_be_asked_for_again(self):
        for _ in range(3):
            aws("sns").create_topic(Name=unique("page"), Tags=TAGS)
        first = aws("resourcegroupstaggingapi").get_resources(ResourceTypeFilters=["sns"], ResourcesPerPage=1)
        pages = [
            aws("resourcegroupstaggingapi").get_resources(
                ResourceTypeFilters=["sns"], ResourcesPerPage=1, PaginationToken=first["PaginationToken"]
            )
            for _ in range(2)
        ]
        self.assertEqual(*[(page["ResourceTagMappingList"], page["PaginationToken"]) for page in pages])
        self.assertEqual(len(pages[0]["ResourceTagMappingList"]), 1)

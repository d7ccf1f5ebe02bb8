"""The least LwM2M server that can be made of aiocoap, for peers.py: registrations in a dictionary, no lifetimes, no notice of
anything. The argument is the port at 127.0.0.1."""

import asyncio
import sys

from aiocoap import CHANGED, CREATED, DELETED, NOT_FOUND, Context, Message, resource

registrations = {}


class Register(resource.Resource):
    async def render_post(self, request):
        location = f"{len(registrations):x}"
        registrations[location] = (request.opt.uri_query, request.payload, request.remote)
        return Message(code=CREATED, location_path=["rd", location])


class Registration(resource.Resource, resource.PathCapable):
    async def render_post(self, request):
        return Message(code=CHANGED if request.opt.uri_path[-1] in registrations else NOT_FOUND)

    async def render_delete(self, request):
        return Message(code=DELETED if registrations.pop(request.opt.uri_path[-1], None) else NOT_FOUND)


async def main():
    site = resource.Site()
    site.add_resource(["rd"], Register())
    site.add_resource(["rd"], Registration())
    await Context.create_server_context(site, bind=("127.0.0.1", int(sys.argv[1])), transports=["udp6"])
    print("ready", flush=True)
    await asyncio.get_running_loop().create_future()


asyncio.run(main())
